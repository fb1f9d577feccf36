//! Ports of services.

use api::service::TargetPort;
use base::Protocol;

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) target: TargetPort,
}

impl Port {
    /// The workload's port where the workload says nothing of its own.
    pub(crate) fn target_number(&self) -> u16 {
        match self.target {
            TargetPort::Number(number) => number,
            TargetPort::Name(_) => self.number,
        }
    }
}

//! Faults put into requests on purpose.

use proto::Any;
use proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier};
use proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType};

use api::virtual_service::{AbortStatus, Fault};

use crate::wire;

/// The filter that acts on a route's faults.
pub(crate) const FILTER: &str = "envoy.filters.http.fault";

/// The filter's configuration for one route; None where the route has no fault.
pub(crate) fn config(fault: &Fault) -> Option<Any> {
    if fault.delay.is_none() && fault.abort.is_none() {
        return None;
    }
    let delay = fault.delay.as_ref().map(|delay| FaultDelay {
        percentage: Some(wire::percent(delay.percentage)),
        fault_delay_secifier: wire::duration(delay.duration).map(FaultDelaySecifier::FixedDelay),
    });
    let abort = fault.abort.as_ref().map(|abort| FaultAbort {
        percentage: Some(wire::percent(abort.percentage)),
        error_type: Some(match abort.status {
            AbortStatus::Grpc(status) => ErrorType::GrpcStatus(status.into()),
            AbortStatus::Http(status) => ErrorType::HttpStatus(status.into()),
        }),
        ..Default::default()
    });
    Some(proto::any::pack(&HttpFault { delay, abort, ..Default::default() }))
}

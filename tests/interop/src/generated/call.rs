//! What is to be asked of both proxies, and what must come of it.

use crate::exchange::Asked;

/// Whom a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The gateway.
    Gateway,
    /// The outbound side of a sidecar.
    Sidecar,
    /// A service of this host, past a sidecar.
    Service(&'static str),
}

/// What is known beforehand of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is one of two backends'.
    Either(&'static str, &'static str),
    /// It is a backend's.
    Name(&'static str),
    /// There is none.
    Refusal,
    /// It is HTTP's, and the access log tells of it.
    Requests,
}

/// One thing to be asked of both proxies.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Whom.
    pub place: Place,
    /// At which port.
    pub port: u16,
    /// What.
    pub asked: Asked,
    /// What of the table it meets by itself, whatever its route is.
    pub kinds: Vec<&'static str>,
    /// What must come of it.
    pub expected: Expected,
}

impl Exchange {
    pub(super) fn new(place: Place, port: u16, asked: Asked, mut kinds: Vec<&'static str>) -> Self {
        kinds.push(if place == Place::Gateway { "gateway" } else { "sidecar" });
        Self { place, port, asked, kinds, expected: Expected::Requests }
    }

    pub(super) fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }
}

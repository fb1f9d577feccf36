//! `weft-proxy` under control planes that are not Weft's. One program, since linking each costs a minute.

mod interop {
    mod alone;
    mod changed;
    mod equal;
    mod equal_limits;
    mod equal_tls;
    mod recorded;
    mod refused;
    mod stock;
}

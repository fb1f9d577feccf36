//! `weft-proxy` under control planes that are not Weft's. One program, since linking each costs a minute.

mod interop {
    mod alone;
    mod captured;
    mod changed;
    mod equal;
    mod equal_limits;
    mod equal_tls;
    mod pipes;
    mod recorded;
    mod refused;
    mod sidecars;
    mod stock;
}

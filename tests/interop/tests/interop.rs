//! `weft-proxy` under control planes that are not Weft's. One program, since linking each costs a minute.

mod interop {
    mod alone;
    mod changed;
    mod recorded;
    mod refused;
}

//! How objects are generated.

/// How objects are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whose objects they are.
    pub mode: Mode,
    /// What routes the requests.
    pub topping: Topping,
}

/// Whose objects are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Our own: legal, and doing what the drawing means.
    #[default]
    Clean,
    /// Those of the drawing tool, object for object, its weaknesses included.
    Msaez,
}

/// What routes the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topping {
    /// Istio's objects, whose weights Argo Rollouts moves.
    ArgoRollouts,
    /// An Ingress.
    Ingress,
    /// Istio's objects.
    #[default]
    Istio,
}

//! Objects that have been read and found valid.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base::{Digest, Origin, Place};
use serde_json::Value;

use crate::kind::{Key, Kind};
use crate::meta::Meta;
use crate::secret;
use crate::yaml::{Document, Node};
use crate::{
    ConfigMap, DestinationRule, EndpointSlice, Gateway, Pod, ProxyConfig, Secret, Service, ServiceEntry,
    Sidecar, VirtualService, WorkloadEntry, WorkloadGroup,
};

/// The specification part of a kind.
pub trait Spec: Sized {
    /// The kind it belongs to.
    const KIND: Kind;
}

/// An object that has been read and found valid; dereferences to its specification. Only this crate makes one.
pub struct Valid<T> {
    meta: Meta,
    spec: T,
    digest: Digest,
    document: Arc<Document>,
}

impl<T: Spec> Valid<T> {
    pub(crate) fn new(meta: Meta, spec: T, digest: Digest, document: Arc<Document>) -> Self {
        Self { meta, spec, digest, document }
    }

    /// What the object says about itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The specification.
    pub fn spec(&self) -> &T {
        &self.spec
    }

    /// The object's key.
    pub fn key(&self) -> Key {
        Key::new(T::KIND, self.meta.namespace.clone(), self.meta.name.clone())
    }

    /// The whole object as an origin; [`Origin::at`] narrows it.
    pub fn origin(&self) -> Origin {
        Origin::new(T::KIND.name(), &self.meta.namespace, &self.meta.name)
    }

    /// The digest of what the object means: comments, positions, order of keys and status do not count.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where a field stands, by its path below `spec` (`http[0].route[1]`); the nearest thing above it that is
    /// written where the field itself is not. The empty path is the object.
    pub fn place(&self, path: &str) -> Place {
        self.document.place(path)
    }
}

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.spec
    }
}

impl<T: fmt::Debug> fmt::Debug for Valid<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valid").field("meta", &self.meta).field("spec", &self.spec).finish()
    }
}

macro_rules! resource {
    ($($kind:ident),*) => {
        $(impl Spec for $kind {
            const KIND: Kind = Kind::$kind;
        })*

        /// A valid object of any kind; cloning shares it.
        #[derive(Clone, Debug)]
        pub enum Resource {
            $(#[doc = concat!("One [`", stringify!($kind), "`].")]
            $kind(Arc<Valid<$kind>>),)*
        }

        impl Resource {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $(Resource::$kind(_) => Kind::$kind,)* }
            }

            /// What the object says about itself.
            pub fn meta(&self) -> &Meta {
                match self { $(Resource::$kind(valid) => valid.meta(),)* }
            }

            /// The digest of what the object means: comments, positions, order of keys and status do not count.
            pub fn digest(&self) -> Digest {
                match self { $(Resource::$kind(valid) => valid.digest(),)* }
            }

            fn document(&self) -> &Document {
                match self { $(Resource::$kind(valid) => &valid.document,)* }
            }
        }

        $(impl From<Valid<$kind>> for Resource {
            fn from(valid: Valid<$kind>) -> Self {
                Resource::$kind(Arc::new(valid))
            }
        })*
    };
}

resource!(
    ConfigMap,
    DestinationRule,
    EndpointSlice,
    Gateway,
    Pod,
    ProxyConfig,
    Secret,
    Service,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup
);

impl Resource {
    /// The object's key.
    pub fn key(&self) -> Key {
        let meta = self.meta();
        Key::new(self.kind(), meta.namespace.clone(), meta.name.clone())
    }

    /// The whole object as an origin.
    pub fn origin(&self) -> Origin {
        Origin::new(self.kind().name(), &self.meta().namespace, &self.meta().name)
    }

    /// Where a field stands, by its path below `spec`; see [`Valid::place`].
    pub fn place(&self, path: &str) -> Place {
        self.document().place(path)
    }

    /// The document as the user wrote it, without the line that separates it from its neighbours; an item of a
    /// `List` is written anew as a document of its own.
    pub fn text(&self) -> &str {
        &self.document().text
    }

    /// The same as may be shown: without what a Secret holds.
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Resource::Secret(_) => Cow::Owned(self.to_yaml()),
            _ => Cow::Borrowed(self.text()),
        }
    }

    /// The object as written, as JSON, with the namespace it lives in. What a Secret holds is left out.
    pub fn to_json(&self) -> Value {
        let mut json = self.root().to_json();
        if let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.entry("namespace").or_insert_with(|| self.meta().namespace.as_ref().into());
        }
        if self.kind() == Kind::Secret {
            secret::redact(&mut json);
        }
        json
    }

    /// The same as [`Resource::to_json`], as YAML.
    pub fn to_yaml(&self) -> String {
        crate::yaml::emit(&self.to_json())
    }

    fn root(&self) -> &Node {
        &self.document().root
    }
}

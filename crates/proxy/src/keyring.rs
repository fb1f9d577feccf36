//! TLS contexts made from what the plan says and what secrets and files hold, kept while neither changes.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use base::Digest;
use net::tls::Secret as Bytes;
use net::tls::{
    Certificate, Client, ClientSettings, Options, Peer, Roots, Server, ServerSettings, Trust, Version,
};
use plan::{
    CertificateSource, Cipher, ClientTls, Curve, Pem, SanKind, Secret, ServerTls, Tls, Validation,
    ValidationSource,
};

/// No certificate, list of roots or revocations is longer.
const LONGEST: u64 = 4 << 20;

/// A context, or why there is none.
pub(crate) type Built<T> = Result<Arc<T>, Arc<str>>;

/// The contexts of one generation, by the plan's own.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// Keyed by address: the generation holds the plan that holds them.
    servers: HashMap<usize, Built<Server>, foldhash::fast::RandomState>,
    clients: HashMap<(usize, bool), Built<Client>, foldhash::fast::RandomState>,
}

impl Contexts {
    /// The context of a filter chain.
    pub(crate) fn server(&self, tls: &Arc<ServerTls>) -> Built<Server> {
        self.servers.get(&address(tls)).cloned().unwrap_or_else(|| Err(MISSING.into()))
    }

    /// The context of an endpoint, and whether its certificate must name the host a request is for.
    pub(crate) fn client(&self, tls: &Arc<ClientTls>, checks_host: bool) -> Built<Client> {
        self.clients.get(&(address(tls), checks_host)).cloned().unwrap_or_else(|| Err(MISSING.into()))
    }

    /// Whether a client's context is in force.
    pub(crate) fn holds(&self, client: &Arc<Client>) -> bool {
        self.clients().any(|known| Arc::ptr_eq(known, client))
    }

    /// All servers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values().filter_map(|built| built.as_ref().ok())
    }

    /// All clients.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.clients.values().filter_map(|built| built.as_ref().ok())
    }
}

/// Envoy's words for a context whose secret has not come.
pub(crate) const MISSING: &str = "TLS error: Secret is not supplied by SDS";

fn address<T>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).addr()
}

/// What was made before, and the files it was made from.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    servers: HashMap<Digest, Built<Server>>,
    clients: HashMap<Digest, Built<Client>>,
    files: BTreeMap<Arc<str>, Stamp>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of a file as it is; nothing where it is not.
    fn of(path: &str) -> Self {
        let Ok(facts) = std::fs::metadata(path) else { return Self::default() };
        Self { changed: (facts.mtime(), facts.mtime_nsec()), length: facts.len(), inode: facts.ino() }
    }
}

/// What one round of making reads.
struct Round<'a> {
    secrets: &'a dyn Fn(&str) -> Option<Secret>,
    files: BTreeMap<Arc<str>, Stamp>,
    /// Overwritten when the round is over: keys are among them.
    read: HashMap<Arc<str>, Result<Arc<Bytes>, String>>,
}

impl Keyring {
    /// Makes the contexts of a generation; those that need nothing new are the very same as before.
    pub(crate) fn build<'a>(
        &mut self,
        servers: impl Iterator<Item = &'a Arc<ServerTls>>,
        clients: impl Iterator<Item = (&'a Arc<ClientTls>, bool)>,
        secrets: &dyn Fn(&str) -> Option<Secret>,
    ) -> Contexts {
        let mut round = Round { secrets, files: BTreeMap::new(), read: HashMap::new() };
        let mut contexts = Contexts::default();
        let mut kept = HashMap::new();
        for tls in servers {
            if contexts.servers.contains_key(&address(tls)) {
                continue;
            }
            let built = match round.server(tls) {
                Ok((digest, settings)) => {
                    let made = kept.get(&digest).or_else(|| self.servers.get(&digest)).cloned();
                    let built = made.unwrap_or_else(|| tell(Server::new(settings), "server"));
                    kept.insert(digest, built.clone());
                    built
                }
                Err(why) => Err(why),
            };
            contexts.servers.insert(address(tls), built);
        }
        self.servers = kept;
        let mut kept = HashMap::new();
        for (tls, checks_host) in clients {
            if contexts.clients.contains_key(&(address(tls), checks_host)) {
                continue;
            }
            let built = match round.client(tls, checks_host) {
                Ok((digest, settings)) => {
                    let made = kept.get(&digest).or_else(|| self.clients.get(&digest)).cloned();
                    let built = made.unwrap_or_else(|| tell(Client::new(settings), "client"));
                    kept.insert(digest, built.clone());
                    built
                }
                Err(why) => Err(why),
            };
            contexts.clients.insert((address(tls), checks_host), built);
        }
        self.clients = kept;
        self.files = round.files;
        contexts
    }

    /// Whether any context is made from files.
    pub(crate) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether some file is no longer what it was.
    pub(crate) fn is_stale(&self) -> bool {
        self.files.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }
}

fn tell<T>(made: Result<T, net::tls::TlsError>, side: &str) -> Built<T> {
    made.map(Arc::new).map_err(|error| {
        tracing::warn!(side, %error, "a TLS context cannot be made: its connections fail");
        Arc::from(error.to_string())
    })
}

impl Round<'_> {
    fn server(&mut self, tls: &ServerTls) -> Result<(Digest, ServerSettings), Arc<str>> {
        let (certificates, mut seen) = self.certificates(&tls.common)?;
        let trust = match &tls.common.validation {
            None => None,
            Some(source) => Some(self.trust(source, &mut seen)?),
        };
        let settings = ServerSettings {
            certificates,
            trust,
            requires_certificate: tls.requires_client_certificate,
            requires_server_name: tls.requires_server_name,
            resumes: tls.resumes_by_ticket || tls.resumes_by_memory,
            options: options(&tls.common),
            alpn: alpn(&tls.common),
        };
        Ok((Digest::of_value(&seen), settings))
    }

    fn client(&mut self, tls: &ClientTls, checks_host: bool) -> Result<(Digest, ClientSettings), Arc<str>> {
        let (mut certificates, mut seen) = self.certificates(&tls.common)?;
        let mut trust = match &tls.common.validation {
            None => Trust::default(),
            Some(source) => self.trust(source, &mut seen)?,
        };
        trust.matches_server_name = tls.checks_server_name || checks_host;
        if trust.matches_server_name && trust.roots == Roots::Anyone {
            return Err("a certificate is to be for a host, and nobody is trusted to vouch for it".into());
        }
        seen.push(Digest::of_value(&trust.matches_server_name));
        let settings = ClientSettings {
            certificate: (!certificates.is_empty()).then(|| certificates.remove(0)),
            trust,
            options: options(&tls.common),
            alpn: alpn(&tls.common),
            resumes: tls.max_sessions > 0,
        };
        Ok((Digest::of_value(&seen), settings))
    }

    /// Our own certificates, and what they and the context were made from.
    fn certificates(&mut self, tls: &Tls) -> Result<(Vec<Certificate>, Vec<Digest>), Arc<str>> {
        let mut seen = vec![tls.digest];
        let mut certificates = Vec::new();
        for source in &tls.certificates {
            let certificate = match source {
                CertificateSource::Inline(certificate) => Arc::clone(certificate),
                CertificateSource::Secret(name) => match (self.secrets)(name) {
                    Some(Secret::Certificate(certificate)) => certificate,
                    Some(Secret::Validation(_)) => {
                        return Err(format!("secret {name} holds no certificate").into());
                    }
                    None => return Err(MISSING.into()),
                },
            };
            let (chain, key) = (self.pem(&certificate.chain)?, self.pem(&certificate.key)?);
            let ocsp = certificate.ocsp.as_ref().map(|ocsp| self.pem(ocsp)).transpose()?;
            let ocsp = ocsp.map(|ocsp| ocsp.bytes().to_vec());
            seen.push(Digest::of_value(&ocsp));
            seen.extend([Digest::of(chain.bytes()), Digest::of(key.bytes())]);
            certificates.push(Certificate { chain: chain.bytes().to_vec(), key: Bytes::clone(&key), ocsp });
        }
        Ok((certificates, seen))
    }

    fn trust(&mut self, source: &ValidationSource, seen: &mut Vec<Digest>) -> Result<Trust, Arc<str>> {
        let validation = match &source.secret {
            None => Arc::clone(&source.own),
            Some(name) => match (self.secrets)(name) {
                Some(Secret::Validation(secret)) => {
                    let both = source.own.with(&secret).sound();
                    Arc::new(both.map_err(|why| Arc::from(format!("secret {name}: trusted_ca {why}")))?)
                }
                Some(Secret::Certificate(_)) => {
                    return Err(format!("secret {name} holds no roots").into());
                }
                None => return Err(MISSING.into()),
            },
        };
        // What is neither in the context nor in a file: the secret's own conditions.
        seen.push(Digest::of_value(&format!("{validation:?}")));
        let roots = match &validation.roots {
            Some(pem) => Roots::Pem(self.pem(pem)?.bytes().to_vec()),
            None if validation.system_roots => Roots::System,
            None => Roots::Anyone,
        };
        let revoked = match &validation.crl {
            Some(pem) => Some(self.pem(pem)?.bytes().to_vec()),
            None => None,
        };
        if let Roots::Pem(pem) = &roots {
            seen.push(Digest::of_value(pem));
        }
        seen.push(Digest::of_value(&revoked));
        let check = validation.is_picky().then(|| {
            let validation = Arc::clone(&validation);
            let check = move |peer: &Peer, hashes: (&[u8; 32], &[u8; 32])| accepts(&validation, peer, hashes);
            Arc::new(check) as net::tls::Check
        });
        Ok(Trust {
            roots,
            revoked,
            revoked_leaf_only: validation.crl_for_leaf_only,
            accepts_untrusted: validation.accepts_untrusted,
            accepts_expired: validation.accepts_expired,
            max_depth: validation.max_depth,
            check,
            matches_server_name: false,
        })
    }

    /// The bytes of a document; a file is read once in a round.
    fn pem(&mut self, pem: &Pem) -> Result<Arc<Bytes>, Arc<str>> {
        match pem {
            Pem::Bytes(bytes) => Ok(Arc::new(bytes.to_vec().into())),
            Pem::File(path) => {
                if let Some(read) = self.read.get(path) {
                    return read.clone().map_err(Into::into);
                }
                self.files.insert(Arc::clone(path), Stamp::of(path));
                let read = read(path).map(|bytes| Arc::new(bytes.into()));
                self.read.insert(Arc::clone(path), read.clone());
                read.map_err(Into::into)
            }
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let wrong = |error: std::io::Error| format!("{path}: {error}");
    let file = std::fs::File::open(path).map_err(wrong)?;
    let length = file.metadata().map_err(wrong)?.len().min(LONGEST);
    // Enough at once: a key must not stay behind in memory that was grown out of.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(LONGEST).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}

/// Whether a certificate fulfils what is asked of it; else what not, in Envoy's words.
fn accepts(
    validation: &Validation,
    peer: &Peer,
    (certificate, key): (&[u8; 32], &[u8; 32]),
) -> Result<(), String> {
    let ips: Vec<String> = peer.ips.iter().map(ToString::to_string).collect();
    let names = peer.dns.iter().map(|name| (SanKind::Dns, name.as_str()));
    let names = names.chain(peer.uris.iter().map(|name| (SanKind::Uri, name.as_str())));
    let names = names.chain(peer.emails.iter().map(|name| (SanKind::Email, name.as_str())));
    let names = names.chain(ips.iter().map(|name| (SanKind::Ip, name.as_str())));
    if !validation.accepts_names(names) {
        return Err(peer.told_names());
    }
    match validation.accepts_digests(certificate, key) {
        true => Ok(()),
        false => Err("cert hash and spki".to_owned()),
    }
}

fn options(tls: &Tls) -> Options {
    Options {
        least: if tls.versions.tls12 { Version::V12 } else { Version::V13 },
        most: if tls.versions.tls13 { Version::V13 } else { Version::V12 },
        ciphers: tls.ciphers.iter().map(|cipher| cipher_name(*cipher).to_owned()).collect(),
        curves: tls.curves.iter().map(|curve| curve_name(*curve).to_owned()).collect(),
    }
}

fn alpn(tls: &Tls) -> Vec<Vec<u8>> {
    tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn cipher_name(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::EcdsaAes128 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Cipher::EcdsaAes256 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Cipher::EcdsaChacha20 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Cipher::RsaAes128 => "ECDHE-RSA-AES128-GCM-SHA256",
        Cipher::RsaAes256 => "ECDHE-RSA-AES256-GCM-SHA384",
        Cipher::RsaChacha20 => "ECDHE-RSA-CHACHA20-POLY1305",
    }
}

fn curve_name(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::X25519 => "X25519",
        Curve::X25519MlKem768 => "X25519MLKEM768",
    }
}

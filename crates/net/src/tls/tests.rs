#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::Io;
use crate::stream::Stream;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> Roots {
        Roots::Pem(self.0.pem().into_bytes())
    }

    fn issue(&self, names: Vec<SanType>) -> Certificate {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Weft, Inc");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificate {
            chain: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes().into(),
            ..Certificate::default()
        }
    }
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

fn uri(name: &str) -> Vec<SanType> {
    vec![SanType::URI(name.try_into().unwrap())]
}

/// What both sides have of each other, or why they have nothing.
async fn shake(
    server: ServerSettings,
    client: ClientSettings,
    name: Option<&str>,
) -> Result<(Io, Stream), [Option<TlsError>; 2]> {
    let (server, client) = (Server::new(server).unwrap(), Client::new(client).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = server.accept(Stream::new(socket), Duration::from_secs(20)).await?;
        // A client learns of its own refusal with the first bytes.
        stream.write_all(b"x").await.map_err(|e| TlsError::Handshake(super::words::of(&e)))?;
        stream.flush().await.map_err(|e| TlsError::Handshake(super::words::of(&e)))?;
        Ok::<_, TlsError>(stream)
    };
    let connecting = async {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut io = client.connect(socket, name, None).await?;
        io.read_u8().await.map_err(|e| TlsError::Handshake(super::words::of(&e)))?;
        Ok::<_, TlsError>(io)
    };
    match tokio::join!(connecting, accepting) {
        (Ok(io), Ok(stream)) => Ok((io, stream)),
        (io, stream) => Err([io.err(), stream.err()]),
    }
}

fn server(certificate: Certificate) -> ServerSettings {
    ServerSettings { certificates: vec![certificate], ..ServerSettings::default() }
}

fn trusting(roots: Roots) -> ClientSettings {
    ClientSettings { trust: Trust { roots, ..Trust::default() }, ..ClientSettings::default() }
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let authority = Authority::new("root");
    let mut settings = server(authority.issue(dns("shop.example")));
    settings.requires_certificate = true;
    settings.trust = Some(Trust { roots: authority.roots(), ..Trust::default() });
    let mut client = trusting(authority.roots());
    client.certificate = Some(authority.issue(uri("spiffe://cluster.local/ns/a/sa/b")));

    let (io, stream) = shake(settings, client, Some("shop.example")).await.unwrap();

    assert_eq!(Peer::read(&io.peer_certificates()[0]).unwrap().dns, ["shop.example"]);
    let peer = Peer::read(&stream.io().peer_certificates()[0]).unwrap();
    assert_eq!(peer.uris, ["spiffe://cluster.local/ns/a/sa/b"]);
    assert_eq!(peer.subject, "CN=leaf,O=Weft\\, Inc");
    assert_eq!(peer.hash.len(), 64);
    assert_eq!(stream.io().server_name(), Some("shop.example"));
    assert_eq!(stream.io().tls().unwrap().0, "TLSv1.3");
}

#[tokio::test]
async fn a_client_that_must_show_a_certificate_and_does_not_is_refused() {
    let authority = Authority::new("root");
    for requires in [true, false] {
        let mut settings = server(authority.issue(dns("shop.example")));
        settings.requires_certificate = requires;
        settings.trust = Some(Trust { roots: authority.roots(), ..Trust::default() });

        let result = shake(settings, trusting(authority.roots()), Some("shop.example")).await;

        match result {
            Ok((_, stream)) => assert!(!requires && stream.io().peer_certificates().is_empty()),
            Err([client, server]) => {
                assert!(requires);
                assert!(client.unwrap().to_string().contains("TLSV1_CERTIFICATE_REQUIRED"));
                assert!(server.unwrap().to_string().contains("PEER_DID_NOT_RETURN_A_CERTIFICATE"));
            }
        }
    }
}

#[tokio::test]
async fn a_stranger_is_refused_by_either_side() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let settings = server(authority.issue(dns("shop.example")));
    let [client, _] = shake(settings, trusting(other.roots()), Some("shop.example")).await.unwrap_err();
    assert!(client.unwrap().to_string().contains("CERTIFICATE_VERIFY_FAILED"));

    let mut settings = server(authority.issue(dns("shop.example")));
    settings.trust = Some(Trust { roots: other.roots(), ..Trust::default() });
    let mut client = trusting(authority.roots());
    client.certificate = Some(authority.issue(dns("client.example")));
    let [_, server] = shake(settings, client, None).await.unwrap_err();
    assert!(server.unwrap().to_string().contains("CERTIFICATE_VERIFY_FAILED"));
}

#[tokio::test]
async fn names_and_pins_bind_whom_the_chain_alone_would_let_in() {
    let authority = Authority::new("root");
    let certificate = authority.issue(dns("shop.example"));
    let der = super::material::certificates(&certificate.chain).unwrap().remove(0);
    let key = Peer::key_hash(&der).unwrap();
    let with = |change: &dyn Fn(&mut Trust)| {
        let mut client = trusting(authority.roots());
        change(&mut client.trust);
        client
    };
    let only = |name: &'static str| {
        move |trust: &mut Trust| {
            trust.check = Some(Arc::new(move |peer: &Peer, _| {
                peer.dns.iter().any(|dns| dns == name).then_some(()).ok_or_else(|| peer.told_names())
            }));
        }
    };
    let pinned = |wanted: [u8; 32]| {
        move |trust: &mut Trust| {
            trust.check = Some(Arc::new(move |_: &Peer, (_, key): (&[u8; 32], &[u8; 32])| {
                (*key == wanted).then_some(()).ok_or_else(|| "cert hash and spki".to_owned())
            }))
        }
    };
    let cases = [
        (with(&only("shop.example")), true),
        (with(&only("bank.example")), false),
        (with(&pinned(key)), true),
        (with(&pinned([0; 32])), false),
        (with(&|trust| trust.matches_server_name = true), false),
    ];

    for (i, (client, passes)) in cases.into_iter().enumerate() {
        let result = shake(server(certificate.clone()), client, Some("other.example")).await;
        assert_eq!(result.is_ok(), passes, "case {i}");
    }
}

#[tokio::test]
async fn protocols_are_agreed_on_and_none_in_common_is_no_error() {
    let authority = Authority::new("root");
    for (offered, agreed) in [(vec!["h2", "http/1.1"], Some(&b"h2"[..])), (vec!["foo"], None), (vec![], None)]
    {
        let mut settings = server(authority.issue(dns("shop.example")));
        settings.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = trusting(authority.roots());
        client.alpn = offered.iter().map(|name| name.as_bytes().to_vec()).collect();

        let (io, stream) = shake(settings, client, Some("shop.example")).await.unwrap();

        assert_eq!((io.alpn(), stream.io().alpn()), (agreed, agreed), "{offered:?}");
    }
}

#[tokio::test]
async fn the_certificate_for_the_asked_name_is_shown() {
    let authority = Authority::new("root");
    let mut settings = server(authority.issue(dns("one.example")));
    settings.certificates.push(authority.issue(dns("*.two.example")));

    let (io, _) = shake(settings, trusting(authority.roots()), Some("a.two.example")).await.unwrap();

    assert_eq!(Peer::read(&io.peer_certificates()[0]).unwrap().dns, ["*.two.example"]);
}

#[tokio::test]
async fn a_certificate_that_is_its_own_root_is_trusted_where_it_is_listed() {
    let authority = Authority::new("root");
    let own = Certificate {
        chain: authority.0.pem().into_bytes(),
        key: authority.0.key().serialize_pem().into_bytes().into(),
        ..Certificate::default()
    };

    assert!(shake(server(own.clone()), trusting(authority.roots()), None).await.is_ok());
    assert!(shake(server(own), trusting(Authority::new("root").roots()), None).await.is_err());
}

#[tokio::test]
async fn versions_without_overlap_do_not_meet() {
    let authority = Authority::new("root");
    let mut settings = server(authority.issue(dns("shop.example")));
    settings.options.most = Version::V12;
    let mut client = trusting(authority.roots());
    client.options.least = Version::V13;

    assert!(shake(settings, client, None).await.is_err());
}

#[test]
fn what_cannot_be_used_is_said() {
    let authority = Authority::new("root");
    let (one, two) = (authority.issue(dns("a")), authority.issue(dns("b")));
    let mismatched = Certificate { chain: one.chain.clone(), key: two.key.clone(), ..Certificate::default() };
    let mut unknown = server(one.clone());
    unknown.options.ciphers = vec!["AES128-SHA".into()];
    let garbage = Certificate { chain: b"nothing".to_vec(), key: one.key.clone(), ..Certificate::default() };

    let why = |settings| Server::new(settings).unwrap_err().to_string();
    assert!(why(server(mismatched)).contains("certificate and key"));
    assert!(why(unknown).contains("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert!(why(server(garbage)).contains("no certificate"));
    assert_eq!(format!("{:?}", one.key), "[secret]");
}

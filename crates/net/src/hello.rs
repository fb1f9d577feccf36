//! What a TLS client says in the clear before anything is encrypted: where it is going and what it would speak.

/// The start of a connection, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A whole greeting.
    Hello(Hello),
    /// Too little to tell.
    More,
    /// Not TLS, or broken.
    Other,
}

/// A client's greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server it wants, in lower case.
    pub server_name: Option<String>,
    /// The protocols it offers.
    pub protocols: Vec<String>,
}

/// A greeting is never longer.
const LONGEST: usize = 64 * 1024;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// Reads the greeting at the start of a connection.
pub fn read(bytes: &[u8]) -> Greeting {
    let message = match handshake(bytes) {
        Ok(Some(message)) => message,
        Ok(None) => return Greeting::More,
        Err(()) => return Greeting::Other,
    };
    match hello(&message) {
        Some(hello) => Greeting::Hello(hello),
        None => Greeting::Other,
    }
}

/// The body of the first handshake message, put together from its records; none while they are not all there.
fn handshake(bytes: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut records = Reader(bytes);
    let mut joined = Vec::new();
    loop {
        if let Some((kind, length)) = header(&joined) {
            if kind != CLIENT_HELLO || length > LONGEST {
                return Err(());
            }
            if let Some(body) = joined.get(4..4 + length) {
                return Ok(Some(body.to_vec()));
            }
        }
        match records.0 {
            [] | [HANDSHAKE] => return Ok(None),
            [HANDSHAKE, 3, ..] => {}
            _ => return Err(()),
        }
        let mut record = Reader(records.0);
        let Some((_, fragment)) = record.take(3).zip(record.block(2)) else { return Ok(None) };
        if fragment.0.is_empty() || joined.len() + fragment.0.len() > LONGEST + 4 {
            return Err(());
        }
        joined.extend_from_slice(fragment.0);
        records = record;
    }
}

/// The kind and length of a handshake message.
fn header(message: &[u8]) -> Option<(u8, usize)> {
    let mut reader = Reader(message);
    let kind = reader.number(1)?;
    Some((u8::try_from(kind).ok()?, reader.number(3)?))
}

fn hello(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    reader.block(1)?;
    reader.block(2)?;
    reader.block(1)?;
    let mut hello = Hello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = reader.block(2)?;
    while !extensions.0.is_empty() {
        let kind = u16::try_from(extensions.number(2)?).ok()?;
        let mut extension = extensions.block(2)?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(extension.block(2)?)?,
            ALPN => hello.protocols = protocols(extension.block(2)?)?,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(mut list: Reader<'_>) -> Option<Option<String>> {
    while !list.0.is_empty() {
        let kind = list.number(1)?;
        let name = list.block(2)?;
        if kind == 0 {
            return Some(std::str::from_utf8(name.0).ok().map(str::to_ascii_lowercase));
        }
    }
    Some(None)
}

fn protocols(mut list: Reader<'_>) -> Option<Vec<String>> {
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(String::from_utf8_lossy(list.block(1)?.0).into_owned());
    }
    Some(protocols)
}

/// Bytes read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A block with its length in front.
    fn block(&mut self, width: usize) -> Option<Reader<'a>> {
        let length = self.number(width)?;
        self.take(length).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(width: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - width..], content].concat()
    }

    fn greeting(fragment: usize) -> Vec<u8> {
        let name = [&[0][..], &block(2, b"Reviews.example")].concat();
        let offers = [block(1, b"istio"), block(1, b"h2")].concat();
        let extensions = [
            [&[0x0a, 0x0a][..], &block(2, b"")].concat(),
            [&[0, 0][..], &block(2, &block(2, &name))].concat(),
            [&[0, 16][..], &block(2, &block(2, &offers))].concat(),
        ]
        .concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &block(1, &[1; 32]),
            &block(2, &[0x13, 1]),
            &block(1, &[0]),
            &block(2, &extensions),
        ];
        let message = [&[1][..], &block(3, &body.concat())].concat();
        message.chunks(fragment).flat_map(|part| [&[22, 3, 1][..], &block(2, part)].concat()).collect()
    }

    #[test]
    fn the_wanted_server_and_the_offered_protocols_are_read() {
        let wanted = Hello {
            server_name: Some("reviews.example".into()),
            protocols: vec!["istio".into(), "h2".into()],
        };

        for fragment in [3, 40, 4096] {
            assert_eq!(read(&greeting(fragment)), Greeting::Hello(wanted.clone()), "{fragment}");
        }
    }

    #[test]
    fn every_beginning_of_a_greeting_waits_for_the_rest() {
        let whole = greeting(50);

        assert!((0..whole.len()).all(|n| read(&whole[..n]) == Greeting::More));
    }

    #[test]
    fn anything_else_is_no_greeting() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], &[22, 2, 0], &[22, 3, 1, 0, 4, 2, 0, 0, 0], &[22, 3, 1, 0, 0]]
        {
            assert_eq!(read(bytes), Greeting::Other, "{bytes:?}");
        }
    }

    #[test]
    fn broken_lengths_inside_are_told_and_never_a_panic() {
        let whole = greeting(4096);

        for at in 5..whole.len() {
            let mut broken = whole.clone();
            broken[at] = 0xff;
            read(&broken);
        }
    }
}

//! How the names of headers are written: they mean the same in any case, but not everybody knows.

use std::sync::Arc;

/// How the names of headers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// As the other side of the exchange wrote them, where it is remembered.
    Kept,
    /// In lower case.
    #[default]
    Lower,
    /// With a capital at the beginning of every word.
    Proper,
}

/// The names of a head's headers as they were written; an extension of the head.
#[derive(Clone, Debug)]
pub struct Names(Arc<[Box<[u8]>]>);

impl Names {
    /// Remembers the names of a whole head that was found well-formed.
    pub(super) fn of(block: &[u8]) -> Self {
        let lines = block.split(|byte| *byte == b'\n').skip(1);
        Self(lines.filter_map(|line| Some(line.get(..colon(line)?)?.into())).collect())
    }
}

fn colon(line: &[u8]) -> Option<usize> {
    line.iter().position(|byte| *byte == b':')
}

/// Rewrites the names of a head that was just written, by what is remembered of them, else in this case.
pub(super) fn apply(head: &mut [u8], case: Case, names: Option<&Names>) {
    if names.is_none() && case != Case::Proper {
        return;
    }
    for line in head.split_mut(|byte| *byte == b'\n').skip(1) {
        let Some(name) = colon(line).and_then(|colon| line.get_mut(..colon)) else { continue };
        match names {
            None => capitalise(name),
            Some(names) => {
                if let Some(kept) = names.0.iter().find(|kept| kept.eq_ignore_ascii_case(name)) {
                    name.copy_from_slice(kept);
                }
            }
        }
    }
}

fn capitalise(name: &mut [u8]) {
    let mut begins = true;
    for byte in name {
        if begins {
            byte.make_ascii_uppercase();
        }
        begins = !byte.is_ascii_alphanumeric();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /a:b HTTP/1.1\r\nhost: a:b\r\nx-b3-traceid: Q\r\nfoo$b: 1\r\n\r\n";

    fn rewritten(case: Case, names: Option<&Names>) -> String {
        let mut head = HEAD.to_vec();
        apply(&mut head, case, names);
        String::from_utf8_lossy(&head).into_owned()
    }

    #[test]
    fn every_word_of_a_name_begins_with_a_capital() {
        let proper = "GET /a:b HTTP/1.1\r\nHost: a:b\r\nX-B3-Traceid: Q\r\nFoo$B: 1\r\n\r\n";

        assert_eq!(rewritten(Case::Proper, None), proper);
        assert_eq!(rewritten(Case::Kept, None).as_bytes(), HEAD);
    }

    #[test]
    fn names_are_written_as_they_came() {
        let names = Names::of(b"POST / HTTP/1.1\r\nHOST: z\r\nX-B3-TraceId: R\r\n\r\n");
        let kept = "GET /a:b HTTP/1.1\r\nHOST: a:b\r\nX-B3-TraceId: Q\r\nfoo$b: 1\r\n\r\n";

        assert_eq!(rewritten(Case::Lower, Some(&names)), kept);
    }
}

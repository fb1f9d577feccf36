//! Hangul in Latin letters: revised romanisation, syllable by syllable, with finals carried over to a vowel.

const INITIALS: [&str; 19] =
    ["g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p", "h"];
const VOWELS: [&str; 21] = [
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we", "wi",
    "yu", "eu", "ui", "i",
];
/// A final by itself, and what is left of it and what sounds before a vowel.
const FINALS: [(&str, &str); 28] = [
    ("", ""),
    ("k", "g"),
    ("k", "kk"),
    ("k", "ks"),
    ("n", "n"),
    ("n", "nj"),
    ("n", "n"),
    ("t", "d"),
    ("l", "r"),
    ("k", "lg"),
    ("m", "lm"),
    ("l", "lb"),
    ("l", "ls"),
    ("l", "lt"),
    ("p", "lp"),
    ("l", "r"),
    ("m", "m"),
    ("p", "b"),
    ("p", "ps"),
    ("t", "s"),
    ("t", "ss"),
    ("ng", "ng"),
    ("t", "j"),
    ("t", "ch"),
    ("k", "k"),
    ("t", "t"),
    ("p", "p"),
    ("t", ""),
];

/// The place of the initial that is silent.
const SILENT: u32 = 11;

/// Writes every Hangul syllable in Latin letters and leaves the rest.
pub(super) fn romanise(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let Some((initial, vowel, last)) = parts(c) else {
            out.push(c);
            continue;
        };
        let goes_on =
            characters.peek().and_then(|next| parts(*next)).is_some_and(|(next, ..)| next == SILENT);
        let of = |table: &[&'static str], place: u32| {
            usize::try_from(place).ok().and_then(|place| table.get(place)).copied().unwrap_or_default()
        };
        out.push_str(of(&INITIALS, initial));
        out.push_str(of(&VOWELS, vowel));
        let (alone, before_vowel) =
            usize::try_from(last).ok().and_then(|place| FINALS.get(place)).copied().unwrap_or_default();
        out.push_str(if goes_on { before_vowel } else { alone });
    }
    out
}

/// Initial, vowel and final of a syllable.
fn parts(c: char) -> Option<(u32, u32, u32)> {
    let place = u32::from(c).checked_sub(0xAC00).filter(|place| *place < 11_172)?;
    Some((place / 588, place % 588 / 28, place % 28))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syllables_are_written_as_they_sound() {
        for (hangul, latin) in [
            ("주문", "jumun"),
            ("배송", "baesong"),
            ("상품", "sangpum"),
            ("재고관리", "jaegogwanri"),
            ("목요일", "mogyoil"),
            ("쇼핑몰 2", "syopingmol 2"),
            ("영업", "yeongeop"),
            ("힣", "hit"),
            ("a", "a"),
        ] {
            assert_eq!(romanise(hangul), latin);
        }
    }
}

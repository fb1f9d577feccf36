//! How old something is, in the words of kubectl.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// What stands for an age nobody knows.
const UNKNOWN: &str = "<unknown>";

/// The age of an object, looked at `now`: since the time it states (`2026-01-31T12:00:00Z`), else since its file was
/// written.
pub(crate) fn since(created: Option<&str>, written: Option<u64>, now: SystemTime) -> String {
    let written = || UNIX_EPOCH.checked_add(Duration::from_secs(written?));
    let Some(begun) = created.and_then(instant).or_else(written) else {
        return UNKNOWN.to_owned();
    };
    words(now.duration_since(begun).unwrap_or_default())
}

/// Ever coarser, the older it is: `45s`, `3m12s`, `2h5m`, `3d4h`, `400d`, `3y20d`.
pub(crate) fn words(age: Duration) -> String {
    let seconds = age.as_secs();
    let pair = |(large, first): (u64, &str), (small, second): (u64, &str)| match seconds % large / small {
        0 => format!("{}{first}", seconds / large),
        rest => format!("{}{first}{rest}{second}", seconds / large),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        s if s < 10 * MINUTE => pair((MINUTE, "m"), (1, "s")),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => pair((HOUR, "h"), (MINUTE, "m")),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair((DAY, "d"), (HOUR, "h")),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair((YEAR, "y"), (DAY, "d")),
        s => format!("{}y", s / YEAR),
    }
}

/// A time as Kubernetes writes it: whole seconds of UTC.
fn instant(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, by: char| -> Option<Vec<u64>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let [year, month @ 1..=12, day @ 1..=31] = numbers(date, '-')?[..] else { return None };
    let [hour @ 0..24, minute @ 0..60, second @ 0..=60] = numbers(time, ':')?[..] else { return None };
    let days = days_since_1970(year, month, day)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * DAY + hour * HOUR + minute * MINUTE + second))
}

/// Days from the first of 1970 in the Gregorian calendar; years begin in March here, so that a leap day is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (365 * year + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_as_kubectl_tells_it() {
        let told: Vec<String> = [0, 119, 192, 600, 7_500, 18_300, 100_000, 273_600, 30_000_000, 100_000_000]
            .map(|seconds| words(Duration::from_secs(seconds)))
            .into();

        assert_eq!(told, ["0s", "119s", "3m12s", "10m", "125m", "5h5m", "27h", "3d4h", "347d", "3y62d"]);
    }

    #[test]
    fn a_time_is_read_as_kubernetes_writes_it() {
        let seconds = |text: &str| instant(text)?.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());

        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-03-01T00:00:00Z"), Some(951_868_800));
        assert_eq!(seconds("2026-11-21T18:21:55Z"), Some(1_795_285_315));
        for wrong in ["yesterday", "2026-13-01T00:00:00Z", "1969-01-01T00:00:00Z", "2026-11-21T18:21:55"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_object_is_as_old_as_it_says_or_as_its_file() {
        let now = UNIX_EPOCH + Duration::from_secs(90);

        assert_eq!(since(None, None, now), UNKNOWN);
        assert_eq!(since(None, Some(30), now), "60s");
        assert_eq!(since(Some("1970-01-01T00:00:00Z"), Some(30), now), "90s");
        assert_eq!(since(Some("2000-03-01T00:00:00Z"), None, now), "0s", "clocks differ");
    }
}

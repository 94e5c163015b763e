//! Durations on the command line.

use std::time::Duration;

/// Reads `10` (seconds), `1.5s`, `200ms`, `5m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number_ends = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m, h or d")),
    };
    let number: f64 = number.parse().map_err(|_| "give a number, such as 10, 1.5s, 5m or 1h".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// Like [`duration`], where 0 stands for no limit.
pub fn limit(text: &str) -> Result<Limit, String> {
    duration(text).map(|limit| Limit(Some(limit).filter(|limit| !limit.is_zero())))
}

/// A time limit; `None` means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

/// A text for people, in the largest unit that needs no fraction.
pub fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None if millis < 1000 => format!("{millis} ms"),
        None => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds_unless_a_unit_follows() {
        for (text, millis) in
            [("10", 10_000), ("1.5s", 1500), ("200ms", 200), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1x", "1 s", "1e400", "999999999999999999999"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(limit("0"), Ok(Limit(None)));
        assert_eq!(limit("0.5"), Ok(Limit(Some(Duration::from_millis(500)))));
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        for (millis, text) in
            [(200, "200 ms"), (1500, "1.5 s"), (30_000, "30 s"), (120_000, "2 min"), (7_200_000, "2 h")]
        {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
    }
}

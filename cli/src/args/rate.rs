//! Rates on the command line.

/// Reads `500k`, `10M`, `1.5G` or `8Mi`: bytes per second. The unit is required, because others
/// count in kbit (scp) or KiB (rsync) without one.
pub fn rate(text: &str) -> Result<u64, String> {
    const ADVICE: &str = "give bytes per second with a unit, such as 500k, 10M, 1.5G, 8Mi or 900B";
    let number_ends = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit = match unit.strip_suffix('B').unwrap_or(unit) {
        "" if unit == "B" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(ADVICE.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| ADVICE.to_owned())?;
    // A number that is too large becomes the largest one.
    match (number * unit).round() as u64 {
        0 => Err("at least 1 byte per second; without this flag there is no limit".to_owned()),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit() {
        for (text, bytes) in [
            ("900B", 900),
            ("500k", 500_000),
            ("500K", 500_000),
            ("10M", 10_000_000),
            ("10MB", 10_000_000),
            ("1.5G", 1_500_000_000),
            ("8Mi", 8 << 20),
            ("8MiB", 8 << 20),
            ("1Ki", 1024),
            ("1Gi", 1 << 30),
            ("99999999999999999999G", u64::MAX),
        ] {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for text in ["", "10", "M", "-1M", "1 M", "10Mbit", "10m", "1.2.3M", "1e6B", "BB"] {
            assert!(rate(text).unwrap_err().contains("such as 500k, 10M"), "{text}");
        }
        for text in ["0B", "0M", "0.0001k"] {
            assert!(rate(text).unwrap_err().contains("at least 1 byte"), "{text}");
        }
    }
}

//! User certificates.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::assert_clean;
use crate::credential::Certificate;
use crate::hostkey::BlobReader;

/// Any bytes as a file, and as the blob of a certificate: a parsed certificate keeps its blob, uses
/// all of it, and is displayed safely.
pub fn certificate(data: &[u8]) {
    let _ = Certificate::parse("fuzz".into(), data);
    let Ok(Ok(name)) = BlobReader::new(data).string().map(str::from_utf8) else { return };
    let parse = |blob| {
        let text = format!("{name} {} comment", BASE64_STANDARD.encode(blob));
        Certificate::parse("fuzz".into(), text.as_bytes())
    };
    let certificate = match parse(data) {
        Ok(certificate) => certificate,
        Err(problem) => return assert_clean(&problem.to_string()),
    };
    assert_eq!((certificate.type_name(), certificate.blob()), (name, data));
    assert!(!certificate.is_for(data));
    assert!(parse(&data[..data.len() - 1]).is_err(), "cut short");
    for seconds in [0, 1_700_000_000, 1 << 37] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        if let Some(problem) = certificate.problem("deploy", now) {
            assert_clean(&problem.to_string());
        }
    }
}

//! What a certificate says.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::TlsError;

/// Returns until when a certificate counts.
pub(super) fn expires(certificate: &CertificateDer<'_>) -> Result<SystemTime, TlsError> {
    let seconds = parse(certificate)?.validity().not_after.timestamp();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default()))
}

/// Tells whether a certificate carries one of some names.
pub(super) fn carries(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok(certificate) = parse(certificate) else { return false };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return false };
    alternatives.value.general_names.iter().filter_map(text).any(|name| names.contains(&name))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(|_| TlsError::Certificate)
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

//! What may be a host: an address in digits, or a name of legal length.

use std::io;
use std::net::IpAddr;

/// RFC 1035, 2.3.4: a label has at most 63 bytes, a name 255 on the wire, which leaves 253 in writing.
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;

/// The address, if it is written in digits; an IPv6 one may be in brackets.
pub(super) fn in_digits(host: &str) -> Option<IpAddr> {
    match in_brackets(host) {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// An IPv6 address with a zone (`[fe80::1%eth0]`), which only the system can read, as that reads it; all else as it is.
pub(super) fn without_brackets(host: &str) -> &str {
    let bare = in_brackets(host).filter(|bare| bare.contains(':'));
    bare.unwrap_or(host)
}

fn in_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// Refuses what no name server could know. What it consists of is not looked at: systems differ, and an
/// internationalised name goes on as it is.
pub(super) fn check(host: &str) -> io::Result<()> {
    let refuse = |why: &str| {
        // A name that is too long would hide what is said about it.
        let shown: String = host.chars().take(80).collect();
        let more = if shown.len() < host.len() { "…" } else { "" };
        let text = format!("cannot resolve {shown:?}{more}: {why}; give a host name or an address");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    };
    // The dot at the end of a complete name belongs to none of its labels.
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return refuse("it is empty");
    }
    if host.contains('\0') {
        return refuse("it has a NUL character in it");
    }
    if name.len() > LONGEST_NAME {
        return refuse(&format!(
            "it has {} bytes, a name has at most {LONGEST_NAME}",
            name.len()
        ));
    }
    for label in name.split('.') {
        match label.len() {
            0 => return refuse("the part between two dots is empty"),
            1..=LONGEST_LABEL => {}
            n => {
                return refuse(&format!(
                    "the part between two dots has {n} bytes, and may have at most {LONGEST_LABEL}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_digits_are_told_from_names() {
        let address = |host| in_digits(host).map(|address| address.to_string());
        assert_eq!(address("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(address("::1").as_deref(), Some("::1"));
        assert_eq!(address("[::1]").as_deref(), Some("::1"));
        for name in [
            "localhost",
            "[127.0.0.1]",
            "[::1",
            "1.2.3.4.5",
            "",
            "fe80::1%eth0",
        ] {
            assert_eq!(address(name), None, "{name}");
        }
    }

    #[test]
    fn an_address_with_a_zone_loses_its_brackets_and_a_name_does_not() {
        assert_eq!(without_brackets("[fe80::1%eth0]"), "fe80::1%eth0");
        for host in ["fe80::1%eth0", "[localhost]", "[", "[]"] {
            assert_eq!(without_brackets(host), host);
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason() {
        let longest = format!("{}.{}", "a".repeat(63), "b".repeat(63));
        for good in [
            "localhost",
            "example.com.",
            "bücher.example",
            "_dns.x",
            "fe80::1%eth0",
            &longest,
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            (String::new(), "empty"),
            (".".into(), "empty"),
            ("a..b".into(), "between two dots is empty"),
            (".a".into(), "between two dots is empty"),
            ("a\0b".into(), "NUL"),
            (format!("www.{}.com", "a".repeat(64)), "has 64 bytes"),
            ("a.".repeat(200), "has 399 bytes, a name has at most 253"),
        ] {
            let error = check(&bad).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{bad}: {error}");
            assert!(error.to_string().len() < 250, "{error}");
        }
    }
}

//! How a registry asks who we are: the header `WWW-Authenticate` (RFC 9110, 11.6.1).

/// What a registry wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from `realm` (distribution, "Token Authentication Specification").
    Bearer { realm: String, service: Option<String> },
}

/// Reads the values of all such headers; the first that is known counts, `Bearer` before `Basic`.
pub(crate) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let mut found = parameters_of(parameters);
            let mut take = |name: &str| {
                let at = found.iter().position(|(key, _)| key.eq_ignore_ascii_case(name));
                at.map(|at| found.swap_remove(at).1)
            };
            if let Some(realm) = take("realm") {
                return Some(Challenge::Bearer { realm, service: take("service") });
            }
        }
    }
    basic
}

/// `key=value, key="quoted \" value"`; what is damaged ends the list.
fn parameters_of(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((key, rest)) = text.trim_start_matches([',', ' ', '\t']).split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        found.push((key.trim().to_owned(), value));
        text = rest;
    }
    found
}

/// What stands before the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &text[at + 1..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        let cases: &[(&[&str], Option<Challenge>)] = &[
            (&["Basic realm=\"Registry\""], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://ghcr.io/token\",service=\"ghcr.io\",scope=\"repository:a/b:pull\""],
                bearer("https://ghcr.io/token", Some("ghcr.io")),
            ),
            (&["bearer scope=\"a:b:pull,push\", realm=https://x/t , service=x"], bearer("https://x/t", Some("x"))),
            (&["Basic realm=\"x\"", "Bearer realm=\"https://x\""], bearer("https://x", None)),
            (&["Bearer realm=\"a\\\"b"], bearer("a\"b", None)),
            (&["Bearer service=\"x\""], None),
            (&["Bearer"], None),
            (&["Negotiate", ""], None),
            (&[], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(read(headers.iter().copied()), *expected, "{headers:?}");
        }
    }
}

//! What a registry is shown: user and password, or a token that its token server gave for them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use ureq::http::{Method, Uri, header};

use crate::{
    credentials::Secret,
    error::Error,
    http::{Request, Session},
    manifest::shown,
};

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// `Basic`, if there is a password.
pub(crate) fn basic(secret: &Secret) -> Option<String> {
    match secret {
        Secret::Password { user, password } => {
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        }
        Secret::None | Secret::IdentityToken(_) => None,
    }
}

/// Asks the token server at `realm` for a token. Public repositories give one to everybody.
pub(crate) fn ask(session: &Session<'_>, realm: &str, service: Option<&str>, secret: &Secret) -> Result<String, Error> {
    let no_address = || session.protocol(format!("its token server `{}` is no address", shown(realm)));
    let realm: Uri = realm.parse().map_err(|_| no_address())?;
    if realm.host().is_none() {
        return Err(no_address());
    }
    session.check(&realm)?;
    let mut query = form(&[("service", service.unwrap_or_default()), ("scope", &session.scope())]);
    let answer = if let Secret::IdentityToken(token) = secret {
        // "OAuth2 Token Authentication": a refresh token never stands in a URL, which servers log.
        query += "&";
        query += &form(&[("grant_type", "refresh_token"), ("client_id", "forebay"), ("refresh_token", token)]);
        let request = Request::new(Method::POST, realm.clone()).body(query.as_bytes());
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        session.once(&request, &realm, None, &mut |_| {})?
    } else {
        let joint = if realm.query().is_some() { '&' } else { '?' };
        let url: Uri = format!("{realm}{joint}{query}").parse().map_err(|_| no_address())?;
        session.once(&Request::new(Method::GET, url.clone()), &url, basic(secret).as_deref(), &mut |_| {})?
    };
    match answer.status().as_u16() {
        200 => {}
        400 | 401 | 403 => return Err(session.unauthorised("; its token server refused them".to_owned())),
        status => return Err(session.protocol(format!("its token server answered {status}"))),
    }
    let answer: Option<Answer> = serde_json::from_slice(&session.read_text(answer)?).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    let token = token.ok_or_else(|| session.protocol("its token server gave no token".to_owned()))?;
    Ok(format!("Bearer {token}"))
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(key, value)| format!("{key}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped_and_empty_ones_left_out() {
        let fields = [("service", ""), ("scope", "repository:a/b:pull,push"), ("x", "ä&=")];
        assert_eq!(form(&fields), "scope=repository%3Aa%2Fb%3Apull%2Cpush&x=%C3%A4%26%3D");
    }

    #[test]
    fn a_password_becomes_basic() {
        let secret = Secret::Password { user: "Aladdin".to_owned(), password: "open sesame".to_owned() };
        // RFC 7617, section 2.
        assert_eq!(basic(&secret).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic(&Secret::None), None);
    }
}

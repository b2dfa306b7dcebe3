//! Who may ask. Pure.
//!
//! What is served on loopback can be reached by every user of the machine, and by every web site that
//! its users visit. So there is a secret, which only the terminal shows; and a browser's word about where
//! a request comes from is heeded.

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode};

/// What may ask under which names, and the secret.
pub(super) struct Guard {
    port: u16,
    token: String,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret must not reach a log.
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered.
    Pass,
    /// It is answered, and the browser gets a cookie: the secret came with the address.
    Welcome,
    /// It is not.
    Refuse(StatusCode, &'static str),
}

impl Guard {
    pub(super) fn new(port: u16, token: String) -> Self {
        Self { port, token }
    }

    /// The address of the page with the secret in it.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// The header by which the browser keeps the secret. Cookies do not know ports, so the name does.
    pub(super) fn cookie(&self) -> String {
        format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict",
            self.cookie_name(),
            self.token
        )
    }

    fn cookie_name(&self) -> String {
        format!("jobset-dashboard-{}", self.port)
    }

    /// Whether a request is answered.
    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Verdict {
        let refuse = |why| Verdict::Refuse(StatusCode::FORBIDDEN, why);
        if ![Method::GET, Method::HEAD].contains(method) {
            return Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, "this page only shows");
        }
        // A name of somebody else's that leads to loopback would make their page one of ours.
        let Some(host) = one(headers, HOST.as_str()).filter(|host| self.is_ours(host)) else {
            return refuse("this is not the address that the dashboard was started under");
        };
        if headers.contains_key(ORIGIN)
            && one(headers, ORIGIN.as_str())
                .is_none_or(|origin| origin.strip_prefix("http://") != Some(host))
        {
            return refuse("other web sites may not ask");
        }
        let fetch = |name| one(headers, name);
        let from_outside =
            fetch("sec-fetch-site").is_some_and(|site| !["same-origin", "none"].contains(&site));
        // Whoever follows a link to the page asks for the page alone.
        let is_visit = path == "/"
            && fetch("sec-fetch-mode") == Some("navigate")
            && fetch("sec-fetch-dest") == Some("document");
        if from_outside && !is_visit {
            return refuse("other web sites may not ask");
        }
        let mut parameters = query.unwrap_or_default().split('&');
        let given = parameters.find_map(|pair| pair.strip_prefix("token="));
        if path == "/" && given.is_some_and(|given| same(given, &self.token)) {
            return Verdict::Welcome;
        }
        let name = self.cookie_name();
        let cookies = headers.get_all(COOKIE).iter();
        let known = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(key, value)| key == name && same(value, &self.token));
        if known {
            Verdict::Pass
        } else {
            Verdict::Refuse(
                StatusCode::UNAUTHORIZED,
                "open the address that the dashboard has printed: it has a token in it",
            )
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some((name, port)) = host.rsplit_once(':') else {
            return false;
        };
        port.parse() == Ok(self.port)
            && ["127.0.0.1", "localhost", "[::1]"]
                .iter()
                .any(|ours| name.eq_ignore_ascii_case(ours))
    }
}

/// A header that is there once, as text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether two words are the same, in a time that does not tell where they differ.
fn same(given: &str, expected: &str) -> bool {
    given.len() == expected.len()
        && given
            .bytes()
            .zip(expected.bytes())
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE_PAIR: &str = "jobset-dashboard-8347=s3cret";

    fn judge(method: &str, path: &str, headers: &[(&str, &str)]) -> Result<bool, u16> {
        let guard = Guard::new(8347, "s3cret".to_owned());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        match guard.check(&method.parse().unwrap(), path, query, &map) {
            Verdict::Pass => Ok(false),
            Verdict::Welcome => Ok(true),
            Verdict::Refuse(status, _) => Err(status.as_u16()),
        }
    }

    #[test]
    fn the_token_is_exchanged_for_a_cookie() {
        let host = ("host", "127.0.0.1:8347");
        let (welcome, pass) = (Ok(true), Ok(false));
        for (path, cookie, expected) in [
            ("/?token=s3cret", "", welcome),
            ("/?a=b&token=s3cret", "", welcome),
            ("/?token=s3creT", "", Err(401)),
            ("/?token=s3cre", "", Err(401)),
            ("/?token=", "", Err(401)),
            ("/", "", Err(401)),
            ("/api/list", "", Err(401)),
            // In an address that is not the page's, a token is nothing.
            ("/api/list?token=s3cret", "", Err(401)),
            ("/", COOKIE_PAIR, pass),
            ("/api/list", COOKIE_PAIR, pass),
            ("/api/list", "other=1; jobset-dashboard-8347=s3cret", pass),
            ("/api/list", "jobset-dashboard-8348=s3cret", Err(401)),
            ("/api/list", "jobset-dashboard-8347=other", Err(401)),
        ] {
            let verdict = judge("GET", path, &[host, ("cookie", cookie)]);
            assert_eq!(verdict, expected, "{path} {cookie}");
        }
        let guard = Guard::new(8347, "s3cret".to_owned());
        assert!(guard.cookie().starts_with(&format!("{COOKIE_PAIR};")));
        assert!(!format!("{guard:?}").contains("s3cret"));
    }

    #[test]
    fn names_of_others_are_refused() {
        for (host, allowed) in [
            ("127.0.0.1:8347", true),
            ("localhost:8347", true),
            ("LOCALHOST:8347", true),
            ("[::1]:8347", true),
            ("127.0.0.1", false),
            ("127.0.0.1:80", false),
            ("evil.example:8347", false),
            ("127.0.0.1.evil.example:8347", false),
            ("0.0.0.0:8347", false),
            ("", false),
        ] {
            let verdict = judge(
                "GET",
                "/api/list",
                &[("host", host), ("cookie", COOKIE_PAIR)],
            );
            assert_eq!(
                verdict,
                if allowed { Ok(false) } else { Err(403) },
                "{host}"
            );
        }
        assert_eq!(judge("GET", "/", &[("cookie", COOKIE_PAIR)]), Err(403));
        let twice = [
            ("host", "127.0.0.1:8347"),
            ("host", "evil.example"),
            ("cookie", COOKIE_PAIR),
        ];
        assert_eq!(judge("GET", "/", &twice), Err(403));
    }

    #[test]
    fn other_sites_are_refused() {
        let ask = |path: &str, more: &[(&str, &str)]| {
            let mut headers = vec![("host", "127.0.0.1:8347"), ("cookie", COOKIE_PAIR)];
            headers.extend(more);
            judge("GET", path, &headers)
        };
        let own = ("origin", "http://127.0.0.1:8347");
        assert_eq!(ask("/api/list", &[own]), Ok(false));
        for origin in [
            "http://127.0.0.1:9999",
            "http://localhost:8347",
            "https://127.0.0.1:8347",
            "https://evil.example",
            "null",
            "",
        ] {
            assert_eq!(
                ask("/api/list", &[("origin", origin)]),
                Err(403),
                "{origin}"
            );
        }
        for (site, allowed) in [
            ("same-origin", true),
            ("none", true),
            // Another port of this machine.
            ("same-site", false),
            ("cross-site", false),
        ] {
            let expected = if allowed { Ok(false) } else { Err(403) };
            let header = ("sec-fetch-site", site);
            assert_eq!(ask("/api/list", &[header]), expected, "{site}");
            let script = [header, ("sec-fetch-mode", "no-cors")];
            assert_eq!(ask("/", &script), expected, "{site}");
            let visit = [
                header,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ];
            assert_eq!(ask("/?token=s3cret", &visit), Ok(true), "{site}");
            assert_eq!(ask("/api/list", &visit), expected, "{site}");
            let frame = [
                header,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ];
            assert_eq!(ask("/", &frame), expected, "{site}");
        }
    }

    #[test]
    fn nothing_can_be_changed() {
        let headers = [("host", "127.0.0.1:8347"), ("cookie", COOKIE_PAIR)];
        assert_eq!(judge("HEAD", "/", &headers), Ok(false));
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"] {
            assert_eq!(judge(method, "/api/list", &headers), Err(405), "{method}");
        }
    }
}

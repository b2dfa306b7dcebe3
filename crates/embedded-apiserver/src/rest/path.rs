//! What a URL path names.

/// A parsed request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/healthz`, `/livez`, `/readyz` and what is below them.
    Health,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    Resources(String, String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3,
    /// `/openapi/v3/api/v1` or `/openapi/v3/apis/GROUP/VERSION`: group and version.
    OpenApiV3Group(String, String),
    /// A resource, one of its objects, or a subresource of one.
    Resource(ResourcePath),
}

/// The path of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// Undoes percent-encoding; `None` if the result is not text.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Parses a path. `None` means that nothing can be there.
pub(crate) fn parse(path: &str) -> Option<Path> {
    let segments: Option<Vec<String>> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect();
    let segments = segments?;
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Path::Health,
        ["version"] => Path::Version,
        ["api"] => Path::CoreVersions,
        ["apis"] => Path::Groups,
        ["openapi", "v2"] => Path::OpenApiV2,
        ["openapi", "v3"] => Path::OpenApiV3,
        ["openapi", "v3", "api", version] => {
            Path::OpenApiV3Group(String::new(), (*version).to_owned())
        }
        ["openapi", "v3", "apis", group, version] => {
            Path::OpenApiV3Group((*group).to_owned(), (*version).to_owned())
        }
        ["api", version] => Path::Resources(String::new(), (*version).to_owned()),
        ["apis", group] => Path::Group((*group).to_owned()),
        ["apis", group, version] => Path::Resources((*group).to_owned(), (*version).to_owned()),
        ["api", version, rest @ ..] => Path::Resource(resource("", version, rest)?),
        ["apis", group, version, rest @ ..] => Path::Resource(resource(group, version, rest)?),
        _ => return None,
    })
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Option<ResourcePath> {
    let (namespace, rest) = match rest {
        // The namespace object itself and its subresources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => {
            (None, rest)
        }
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(*name), None),
        [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
        _ => return None,
    };
    Some(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        plural: (*plural).to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_paths() {
        let cases = [
            ("/api/v1/pods", ("", "v1", None, "pods", None, None)),
            (
                "/api/v1/namespaces",
                ("", "v1", None, "namespaces", None, None),
            ),
            (
                "/api/v1/namespaces/a",
                ("", "v1", None, "namespaces", Some("a"), None),
            ),
            (
                "/api/v1/namespaces/a/status",
                ("", "v1", None, "namespaces", Some("a"), Some("status")),
            ),
            (
                "/api/v1/namespaces/a/pods",
                ("", "v1", Some("a"), "pods", None, None),
            ),
            (
                "/api/v1/namespaces/a/pods/p/log",
                ("", "v1", Some("a"), "pods", Some("p"), Some("log")),
            ),
            (
                "/apis/batch/v1/namespaces/a/jobs/j%2d1",
                ("batch", "v1", Some("a"), "jobs", Some("j-1"), None),
            ),
        ];
        for (path, (group, version, namespace, plural, name, subresource)) in cases {
            let expected = ResourcePath {
                group: group.to_owned(),
                version: version.to_owned(),
                namespace: namespace.map(str::to_owned),
                plural: plural.to_owned(),
                name: name.map(str::to_owned),
                subresource: subresource.map(str::to_owned),
            };
            assert_eq!(parse(path), Some(Path::Resource(expected)), "{path}");
        }
    }

    #[test]
    fn other_paths() {
        assert_eq!(parse("/livez/ping"), Some(Path::Health));
        assert_eq!(parse("/apis/batch"), Some(Path::Group("batch".to_owned())));
        assert_eq!(parse("/api/v1/%ff/x"), None);
        assert_eq!(parse("/api/v1/%2"), None);
        assert_eq!(parse("/"), None);
        assert_eq!(parse("/api/v1/namespaces/a/pods/p/log/x"), None);
    }
}

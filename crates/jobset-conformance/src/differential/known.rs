//! Differences between the embedded server and Kubernetes that are known.

/// What is to be thought of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to stay.
    Meant,
    /// The embedded server is to be mended.
    Wrong,
}

/// A known difference.
pub(super) struct Known {
    /// Requests whose name starts with this.
    pub(super) step: &'static str,
    /// Places that start with this; `*` stands for one part of the pointer, `**` at the beginning
    /// for any number of them.
    pub(super) place: &'static str,
    pub(super) verdict: Verdict,
    /// Why.
    pub(super) reason: &'static str,
}

/// All of them. An entry that does not apply any more fails the comparison too.
pub(super) const TABLE: &[Known] = &[
    Known {
        step: "",
        place: "**/metadata/managedFields",
        verdict: Verdict::Meant,
        reason: "who wrote a field is recorded from the first apply on: it would be half of every object",
    },
    Known {
        step: "",
        place: "/body/items/*/apiVersion",
        verdict: Verdict::Meant,
        reason: "items of a list say what they are; clients ignore it",
    },
    Known {
        step: "",
        place: "/body/items/*/kind",
        verdict: Verdict::Meant,
        reason: "items of a list say what they are; clients ignore it",
    },
    Known {
        step: "",
        place: "/body/columnDefinitions/*/description",
        verdict: Verdict::Meant,
        reason: "columns are not described: kubectl shows it nowhere",
    },
    Known {
        step: "pods/",
        place: "**/spec/tolerations",
        verdict: Verdict::Meant,
        reason: "no admission adds tolerations of lost nodes: one machine's nodes are not lost",
    },
    Known {
        step: "writing/put-bad-version",
        place: "",
        verdict: Verdict::Meant,
        reason: "a version that is no number is the client's mistake, not the server's",
    },
    Known {
        step: "writing/create-with-version",
        place: "",
        verdict: Verdict::Meant,
        reason: "a new object with a version is the client's mistake, not the server's",
    },
    Known {
        step: "watching/bad-version",
        place: "",
        verdict: Verdict::Meant,
        reason: "a version that is no number is the client's mistake, not the server's",
    },
    Known {
        step: "applying/unknown-field",
        place: "",
        verdict: Verdict::Meant,
        reason: "an unknown field is dropped as in any other write; Kubernetes answers 500",
    },
    Known {
        step: "reading/exact",
        place: "",
        verdict: Verdict::Meant,
        reason: "old states are not kept, and a client has to be ready for 410",
    },
    Known {
        step: "jobs/bad-status",
        place: "",
        verdict: Verdict::Meant,
        reason: "a status is its controller's business: tests write any",
    },
    Known {
        step: "jobs/failed-without-target",
        place: "",
        verdict: Verdict::Meant,
        reason: "a status is its controller's business: tests write any",
    },
    Known {
        step: "pods/logs",
        place: "",
        verdict: Verdict::Meant,
        reason: "a server without a node has no logs, and says so",
    },
    Known {
        step: "watching/initial-events",
        place: "/body/2",
        verdict: Verdict::Meant,
        reason: "one bookmark more at the end of a watch",
    },
    Known {
        step: "writing/no-such-group",
        place: "",
        verdict: Verdict::Meant,
        reason: "a Status is more helpful than plain text",
    },
    Known {
        step: "services/bad-name",
        place: "",
        verdict: Verdict::Meant,
        reason: "the name of a Service begins with a letter, as in releases before 1.37",
    },
    Known {
        step: "jobsets/wrong-version",
        place: "/warnings",
        verdict: Verdict::Meant,
        reason: "an object of another version is refused, and not also warned of",
    },
];

/// The entry for a difference.
pub(super) fn find(step: &str, place: &str) -> Option<(usize, &'static Known)> {
    TABLE
        .iter()
        .enumerate()
        .find(|(_, known)| step.starts_with(known.step) && begins(place, known.place))
}

fn begins(place: &str, pattern: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        let mut starts = place.match_indices('/').map(|(index, _)| index);
        return starts.any(|start| place.get(start..).is_some_and(|place| begins(place, rest)));
    }
    let mut parts = place.split('/');
    pattern.split('/').all(|wanted| {
        parts
            .next()
            .is_some_and(|part| wanted == "*" || part == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (place, pattern, matches) in [
            ("/body/spec/a", "/body/spec", true),
            ("/body/spec", "/body/spec/a", false),
            ("/body/specs", "/body/spec", false),
            ("/body/items/3/spec", "/body/items/*/spec", true),
            ("/body/items/3/spec/a", "**/spec", true),
            ("/body/items/3/spec/a", "**/status", false),
            ("/code", "", true),
        ] {
            assert_eq!(begins(place, pattern), matches, "{place} {pattern}");
        }
    }
}

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
        step: "applying/force-with-merge",
        place: "",
        verdict: Verdict::Wrong,
        reason: "force is ignored without apply",
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
        step: "watching/initial-events",
        place: "/body/1/object/metadata/creationTimestamp",
        verdict: Verdict::Wrong,
        reason: "a bookmark has a null time",
    },
    Known {
        step: "jobsets/apply-conflict",
        place: "",
        verdict: Verdict::Wrong,
        reason: "fields written before the first apply have no owner, so nothing conflicts",
    },
    Known {
        step: "jobsets/apply-same",
        place: "/body/metadata/generation",
        verdict: Verdict::Wrong,
        reason: "follows from the missing conflict",
    },
    Known {
        step: "jobsets/apply-forced",
        place: "/body/metadata/generation",
        verdict: Verdict::Wrong,
        reason: "follows from the missing conflict",
    },
    Known {
        step: "jobsets/by-name",
        place: "/body/items/0/metadata/generation",
        verdict: Verdict::Wrong,
        reason: "follows from the missing conflict",
    },
    Known {
        step: "jobsets/by-name",
        place: "/body/metadata/continue",
        verdict: Verdict::Wrong,
        reason: "a list of custom resources has an empty continue token",
    },
    Known {
        step: "jobsets/no-kind",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a custom resource without a kind is accepted",
    },
    Known {
        step: "jobsets/wrong-version",
        place: "/warnings",
        verdict: Verdict::Wrong,
        reason: "no warning about fields of a kind that is not the resource's",
    },
    Known {
        step: "writing/create-dry-wrong",
        place: "",
        verdict: Verdict::Wrong,
        reason: "an unknown value of a request's option is 400 instead of 422",
    },
    Known {
        step: "writing/field-validation-wrong",
        place: "",
        verdict: Verdict::Wrong,
        reason: "an unknown value of a request's option is 400 instead of 422",
    },
    Known {
        step: "watching/initial-events-unmatched",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a wrong option of a watch is 400 instead of 422",
    },
    Known {
        step: "watching/match-without-initial",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a wrong option of a watch is ignored",
    },
    Known {
        step: "writing/merge-type",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a patch that makes a wrong type is 400 instead of 422",
    },
    Known {
        step: "writing/create-bad-finalizer",
        place: "",
        verdict: Verdict::Wrong,
        reason: "finalizers without a domain are accepted",
    },
    Known {
        step: "writing/strategic-finalizers",
        place: "/body/metadata/finalizers",
        verdict: Verdict::Wrong,
        reason: "a strategic merge appends; Kubernetes puts the new in front",
    },
    Known {
        step: "jobs/",
        place: "**/status/conditions",
        verdict: Verdict::Wrong,
        reason: "a strategic merge appends; Kubernetes puts the new in front",
    },
    Known {
        step: "writing/no-such-group",
        place: "",
        verdict: Verdict::Meant,
        reason: "a Status is more helpful than plain text",
    },
    Known {
        step: "deleting/",
        place: "**/data",
        verdict: Verdict::Wrong,
        reason: "empty maps stay; Kubernetes drops them",
    },
    Known {
        step: "deleting/collection",
        place: "/body/items",
        verdict: Verdict::Wrong,
        reason: "an object that goes at once is shown with a deletion time",
    },
    Known {
        step: "watching/",
        place: "/body/*/object/metadata/deletionGracePeriodSeconds",
        verdict: Verdict::Wrong,
        reason: "an object that goes at once is shown with a deletion time",
    },
    Known {
        step: "watching/",
        place: "/body/*/object/metadata/deletionTimestamp",
        verdict: Verdict::Wrong,
        reason: "an object that goes at once is shown with a deletion time",
    },
    Known {
        step: "services/delete",
        place: "/body/metadata",
        verdict: Verdict::Wrong,
        reason: "an object that goes at once is shown with a deletion time",
    },
    Known {
        step: "watching/since-labelled",
        place: "/body/2/object/metadata/labels",
        verdict: Verdict::Wrong,
        reason: "an object that leaves a selector is shown as it is, not as it was",
    },
    Known {
        step: "reading/as-table",
        place: "/body/columnDefinitions",
        verdict: Verdict::Wrong,
        reason: "a column has another type",
    },
    Known {
        step: "reading/one-as-table",
        place: "/body/columnDefinitions",
        verdict: Verdict::Wrong,
        reason: "a column has another type",
    },
    Known {
        step: "jobs/",
        place: "**/resources",
        verdict: Verdict::Wrong,
        reason: "quantities stay as they were written",
    },
    Known {
        step: "pods/create-full",
        place: "/body/spec/containers",
        verdict: Verdict::Wrong,
        reason: "quantities stay as they were written",
    },
    Known {
        step: "pods/bad-quantity",
        place: "",
        verdict: Verdict::Wrong,
        reason: "quantities are not checked",
    },
    Known {
        step: "pods/gated-with-node",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a gated Pod may name its node",
    },
    Known {
        step: "pods/",
        place: "**/status/conditions",
        verdict: Verdict::Wrong,
        reason: "conditions of a gated Pod lack times, and new ones come last",
    },
    Known {
        step: "services/bad-name",
        place: "",
        verdict: Verdict::Meant,
        reason: "the name of a Service begins with a letter, as in releases before 1.37",
    },
    Known {
        step: "jobs/delete-default",
        place: "",
        verdict: Verdict::Wrong,
        reason: "a Job deleted without a policy goes at once; Kubernetes orphans its Pods",
    },
    Known {
        step: "",
        place: "/body/details",
        verdict: Verdict::Wrong,
        reason: "errors lack some details, name another field or come in another order",
    },
    Known {
        step: "",
        place: "/body/code",
        verdict: Verdict::Wrong,
        reason: "the Status of a deletion has a code",
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

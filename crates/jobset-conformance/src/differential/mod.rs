//! The same list of requests to both API servers; the answers are compared field by field.
//!
//! | file | subject |
//! |---|---|
//! | `requests` | a request, and what answers look like |
//! | `lists` | the requests |
//! | `normal` | takes out of an answer what no two servers have in common |
//! | `known` | differences that are known, each with a verdict and its reason |

mod known;
mod lists;
mod normal;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use embedded_apiserver::ApiServer;
use kube::Client;
use serde_json::{Value, json};

use crate::environment::{connect, install_crd};
pub use known::Verdict;
use requests::{Session, Step};

/// One place where two answers differ.
#[derive(Debug)]
pub struct Difference {
    /// The request.
    pub step: String,
    /// Where in the answer, as a JSON pointer; `/code` is the status code.
    pub place: String,
    /// What the embedded server says.
    pub embedded: Value,
    /// What Kubernetes says.
    pub real: Value,
    /// What is known about it.
    pub known: Option<(Verdict, &'static str)>,
}

/// What the comparison came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// How many requests were sent to each.
    pub requests: usize,
    /// Fields compared.
    pub fields: usize,
    /// All differences.
    pub differences: Vec<Difference>,
    /// Entries of the table of known differences that are none (any more).
    pub outdated: Vec<String>,
}

impl Comparison {
    /// Whether nothing differs but what is known to.
    pub fn is_good(&self) -> bool {
        self.outdated.is_empty() && self.differences.iter().all(|d| d.known.is_some())
    }

    /// How many differences have this verdict.
    pub fn count(&self, verdict: Option<Verdict>) -> usize {
        let verdicts = self.differences.iter().map(|d| d.known.map(|(v, _)| v));
        verdicts.filter(|found| *found == verdict).count()
    }
}

/// Sends all requests whose name contains `filter`, and those before them in the same list, to the
/// embedded server and to the cluster of a kubeconfig.
///
/// # Errors
/// When the cluster cannot be reached.
pub async fn compare(kubeconfig: &Path, filter: &str) -> anyhow::Result<Comparison> {
    let real = connect(kubeconfig).await?;
    install_crd(&real).await?;
    let server = ApiServer::builder().build();
    let embedded = Client::new(server.router(), "default");
    install_crd(&embedded).await?;
    let mut comparison = Comparison::default();
    let mut used = BTreeSet::new();
    for (list, steps) in lists::all() {
        if !steps
            .iter()
            .any(|step| step.full_name(list).contains(filter))
        {
            continue;
        }
        let namespace = format!("differential-{list}-{:06x}", std::process::id() & 0xff_ffff);
        let mut sessions = (
            Session::open(&embedded, &namespace, false).await?,
            Session::open(&real, &namespace, true).await?,
        );
        for step in &steps {
            let name = step.full_name(list);
            let ours = sessions.0.send(step).await.context(name.clone())?;
            let theirs = sessions.1.send(step).await.context(name.clone())?;
            comparison.requests += 1;
            let step = Compared {
                name: &name,
                comparison: &mut comparison,
                used: &mut used,
            };
            step.compare(ours, theirs);
        }
        sessions.0.close().await?;
        sessions.1.close().await?;
    }
    if filter.is_empty() {
        let unused = known::TABLE.iter().enumerate();
        comparison.outdated = unused
            .filter(|(index, _)| !used.contains(index))
            .map(|(_, known)| format!("{} {}", known.step, known.place))
            .collect();
    }
    Ok(comparison)
}

struct Compared<'a> {
    name: &'a str,
    comparison: &'a mut Comparison,
    used: &'a mut BTreeSet<usize>,
}

impl Compared<'_> {
    fn compare(self, ours: Value, theirs: Value) {
        let (ours, theirs) = (flat(&normal::form(ours)), flat(&normal::form(theirs)));
        let places: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for place in places {
            self.comparison.fields += 1;
            let (embedded, real) = (ours.get(place), theirs.get(place));
            if embedded == real {
                continue;
            }
            let known = known::find(self.name, place);
            self.used.extend(known.map(|(index, _)| index));
            self.comparison.differences.push(Difference {
                step: self.name.to_owned(),
                place: place.clone(),
                embedded: embedded.cloned().unwrap_or(json!("(absent)")),
                real: real.cloned().unwrap_or(json!("(absent)")),
                known: known.map(|(_, known)| (known.verdict, known.reason)),
            });
        }
    }
}

/// All leaves by their JSON pointers; empty lists and objects are leaves.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(place: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(&format!("{place}/{key}"), value, into);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    walk(&format!("{place}/{index}"), value, into);
                }
            }
            leaf => {
                into.insert(place.to_owned(), leaf.clone());
            }
        }
    }
    let mut leaves = BTreeMap::new();
    walk("", value, &mut leaves);
    leaves
}

impl Step {
    fn full_name(&self, list: &str) -> String {
        format!("{list}/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_have_places() {
        let value = json!({"a": {"b/c": [1, {}]}, "d": []});
        let leaves: Vec<_> = flat(&value).into_iter().collect();
        let expected = [
            ("/a/b~1c/0", json!(1)),
            ("/a/b~1c/1", json!({})),
            ("/d", json!([])),
        ];
        assert_eq!(leaves, expected.map(|(k, v)| (k.to_owned(), v)));
    }

    #[test]
    fn requests_have_different_names() {
        for (list, steps) in lists::all() {
            let mut names = BTreeSet::new();
            for step in steps {
                assert!(names.insert(step.name), "{list}/{}", step.name);
            }
        }
    }
}

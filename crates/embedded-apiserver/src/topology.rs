//! Which lists are maps or sets: the one table that patches, field ownership and validation share.
//!
//! A list in a Kubernetes object is either *atomic* (replaced whole), a *set* (of scalars) or a
//! *map* (of objects told apart by one or more key fields). For built-in kinds this is compiled
//! into the tables below, following the `patchMergeKey`, `listType` and `listMapKey` markers of the Kubernetes API;
//! for custom resources it comes from the structural schema.

use serde_json::Value;

use crate::schema::{Node, Schema};

/// Group, version and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group, empty for the core group.
    pub group: String,
    /// Version such as `v1`.
    pub version: String,
    /// Kind such as `Pod`.
    pub kind: String,
}

impl Gvk {
    /// Names a kind.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// `batch/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// A key field of a list of objects, with the value it has when it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyField<'a> {
    /// Field name.
    pub name: &'a str,
    /// The default of the field, if it has one.
    pub default: Option<&'a Value>,
    /// The default of the field when it is a string known at compile time.
    pub default_str: Option<&'static str>,
}

impl KeyField<'_> {
    /// The value of this key in an item, defaulted.
    pub fn of(&self, item: &Value) -> Option<Value> {
        match item.get(self.name) {
            Some(Value::Null) | None => self
                .default
                .cloned()
                .or_else(|| self.default_str.map(Value::from)),
            Some(value) => Some(value.clone()),
        }
    }
}

/// How the elements of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind<'a> {
    /// The list is one value.
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, told apart by key fields.
    Map(Vec<KeyField<'a>>),
}

/// How strategic merge patch treats a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// The patch's list takes the place of the old one.
    Replace,
    /// Scalars are added.
    MergeScalars,
    /// Objects are merged by this key.
    MergeBy(&'static str),
}

/// A position in an object, as far as lists are concerned. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub enum Topology<'a> {
    /// Inside an object of a built-in kind.
    BuiltIn(Place<'a>),
    /// Inside a custom resource.
    Custom(&'a Schema, &'a Node),
    /// Where nothing is known: every list is atomic, every map granular.
    Unknown,
}

/// A position in an object of a built-in kind: the kind, and the last field names.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    kind: &'a str,
    parent: &'a str,
    field: &'a str,
    depth: u8,
}

impl<'a> Topology<'a> {
    /// The root of an object of a built-in kind.
    pub fn built_in(kind: &'a str) -> Self {
        Self::BuiltIn(Place {
            kind,
            parent: "",
            field: "",
            depth: 0,
        })
    }

    /// The root of a custom resource.
    pub fn custom(schema: &'a Schema) -> Self {
        Self::Custom(schema, schema.root())
    }

    /// The position of a field or map entry.
    #[must_use]
    pub fn field(self, name: &'a str) -> Self {
        match self {
            Self::BuiltIn(place) => Self::BuiltIn(Place {
                parent: place.field,
                field: name,
                depth: place.depth.saturating_add(1),
                ..place
            }),
            Self::Custom(schema, node) => {
                // Metadata is the same in every kind, whatever the schema says of it.
                if std::ptr::eq(node, schema.root()) && name == "metadata" {
                    return Self::BuiltIn(Place {
                        kind: "",
                        parent: "",
                        field: "metadata",
                        depth: 1,
                    });
                }
                schema
                    .field(node, name)
                    .map_or(Self::Unknown, |child| Self::Custom(schema, child))
            }
            Self::Unknown => Self::Unknown,
        }
    }

    /// The position of the elements of a list.
    #[must_use]
    pub fn item(self) -> Self {
        match self {
            Self::BuiltIn(_) | Self::Unknown => self,
            Self::Custom(schema, node) => schema
                .item(node)
                .map_or(Self::Unknown, |child| Self::Custom(schema, child)),
        }
    }

    /// How the list at this position is keyed, for field ownership.
    pub fn list_kind(self) -> ListKind<'a> {
        match self {
            Self::BuiltIn(place) => place
                .rule()
                .map_or(ListKind::Atomic, |rule| match rule.kind {
                    Keys::Atomic => ListKind::Atomic,
                    Keys::Set => ListKind::Set,
                    Keys::Map(keys) => ListKind::Map(
                        keys.iter()
                            .map(|&(name, default_str)| KeyField {
                                name,
                                default: None,
                                default_str,
                            })
                            .collect(),
                    ),
                }),
            Self::Custom(schema, node) => schema.list_kind(node),
            Self::Unknown => ListKind::Atomic,
        }
    }

    /// Whether the object at this position is owned and replaced as one value.
    pub fn atomic_map(self) -> bool {
        match self {
            Self::BuiltIn(place) => {
                ATOMIC_MAPS.contains(&place.field)
                    || (place.field == "selector" && place.depth == 2)
                    || (place.kind == "CustomResourceDefinition"
                        && place.field == "openAPIV3Schema")
            }
            Self::Custom(_, node) => node.is_atomic_map(),
            Self::Unknown => false,
        }
    }

    /// How strategic merge patch treats the list at this position.
    pub fn merge_rule(self) -> MergeRule {
        match self {
            Self::BuiltIn(place) => place.rule().map_or(MergeRule::Replace, |rule| rule.merge),
            Self::Custom(..) | Self::Unknown => MergeRule::Replace,
        }
    }

    /// Whether a null at this position is a value rather than the absence of one.
    pub fn keeps_null(self) -> bool {
        match self {
            Self::Custom(_, node) => node.is_nullable() || node.preserves_unknown(),
            Self::BuiltIn(_) | Self::Unknown => false,
        }
    }
}

/// Objects with `+structType=atomic` or `+mapType=atomic`.
const ATOMIC_MAPS: &[&str] = &[
    "nodeSelector",
    "labelSelector",
    "namespaceSelector",
    "objectSelector",
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "involvedObject",
    "related",
    "regarding",
    "targetRef",
    "claimRef",
    "secretRef",
    "dataSource",
    "required",
];

#[derive(Clone, Copy)]
enum Keys {
    Atomic,
    Set,
    Map(&'static [(&'static str, Option<&'static str>)]),
}

struct Rule {
    /// Field that holds the list.
    field: &'static str,
    /// Where it must be: names of the enclosing field, or kinds for a field of `spec` or `status`.
    within: Within,
    merge: MergeRule,
    kind: Keys,
}

enum Within {
    Anywhere,
    Fields(&'static [&'static str]),
    Kind(&'static str),
    Top,
}

const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

const fn rule(field: &'static str, within: Within, merge: MergeRule, kind: Keys) -> Rule {
    Rule {
        field,
        within,
        merge,
        kind,
    }
}

const RULES: &[Rule] = {
    use Keys::{Atomic, Map, Set};
    use MergeRule::{MergeBy, MergeScalars, Replace};
    use Within::{Anywhere, Fields, Kind, Top};
    const NAME: Keys = Map(&[("name", None)]);
    const META: Within = Fields(&["metadata"]);
    &[
        rule("containers", Fields(&["spec"]), MergeBy("name"), NAME),
        rule("initContainers", Fields(&["spec"]), MergeBy("name"), NAME),
        rule(
            "ephemeralContainers",
            Fields(&["spec"]),
            MergeBy("name"),
            NAME,
        ),
        rule("volumes", Fields(&["spec"]), MergeBy("name"), NAME),
        rule(
            "imagePullSecrets",
            Fields(&["spec", ""]),
            MergeBy("name"),
            NAME,
        ),
        rule("schedulingGates", Fields(&["spec"]), MergeBy("name"), NAME),
        rule("resourceClaims", Fields(&["spec"]), MergeBy("name"), NAME),
        rule(
            "resourceClaimStatuses",
            Fields(&["status"]),
            MergeBy("name"),
            NAME,
        ),
        rule(
            "hostAliases",
            Fields(&["spec"]),
            MergeBy("ip"),
            Map(&[("ip", None)]),
        ),
        rule(
            "topologySpreadConstraints",
            Fields(&["spec"]),
            MergeBy("topologyKey"),
            Map(&[("topologyKey", None), ("whenUnsatisfiable", None)]),
        ),
        rule("env", Fields(CONTAINERS), MergeBy("name"), NAME),
        rule(
            "volumeMounts",
            Fields(CONTAINERS),
            MergeBy("mountPath"),
            Map(&[("mountPath", None)]),
        ),
        rule(
            "volumeDevices",
            Fields(CONTAINERS),
            MergeBy("devicePath"),
            Map(&[("devicePath", None)]),
        ),
        rule(
            "ports",
            Fields(CONTAINERS),
            MergeBy("containerPort"),
            Map(&[("containerPort", None), ("protocol", Some("TCP"))]),
        ),
        rule("claims", Fields(&["resources"]), Replace, NAME),
        rule(
            "ports",
            Kind("Service"),
            MergeBy("port"),
            Map(&[("port", None), ("protocol", Some("TCP"))]),
        ),
        rule("webhooks", Top, MergeBy("name"), NAME),
        rule(
            "matchConditions",
            Fields(&["webhooks"]),
            MergeBy("name"),
            NAME,
        ),
        rule(
            "matchConditions",
            Kind("ValidatingAdmissionPolicy"),
            MergeBy("name"),
            NAME,
        ),
        rule(
            "variables",
            Kind("ValidatingAdmissionPolicy"),
            MergeBy("name"),
            NAME,
        ),
        rule(
            "validationActions",
            Kind("ValidatingAdmissionPolicyBinding"),
            Replace,
            Set,
        ),
        rule("secrets", Top, MergeBy("name"), NAME),
        rule(
            "ownerReferences",
            META,
            MergeBy("uid"),
            Map(&[("uid", None)]),
        ),
        rule("finalizers", META, MergeScalars, Set),
        // batch/v1 JobStatus merges conditions by type and owns them as one.
        rule("conditions", Kind("Job"), MergeBy("type"), Atomic),
        rule(
            "conditions",
            Fields(&["status"]),
            MergeBy("type"),
            Map(&[("type", None)]),
        ),
        rule(
            "podIPs",
            Fields(&["status"]),
            MergeBy("ip"),
            Map(&[("ip", None)]),
        ),
        rule("hostIPs", Fields(&["status"]), MergeBy("ip"), Atomic),
        rule(
            "addresses",
            Kind("Node"),
            MergeBy("type"),
            Map(&[("type", None)]),
        ),
        rule("podCIDRs", Kind("Node"), MergeScalars, Set),
        rule(
            "succeeded",
            Fields(&["uncountedTerminatedPods"]),
            Replace,
            Set,
        ),
        rule("failed", Fields(&["uncountedTerminatedPods"]), Replace, Set),
        rule("values", Fields(&["onExitCodes"]), Replace, Set),
        rule("managedFields", Anywhere, Replace, Atomic),
    ]
};

impl Place<'_> {
    fn rule(&self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| {
            rule.field == self.field
                && match rule.within {
                    Within::Anywhere => true,
                    Within::Fields(parents) => {
                        // Inside a schema these names are those of somebody else's fields.
                        parents.contains(&self.parent)
                            && (self.kind != "CustomResourceDefinition" || self.depth == 2)
                    }
                    Within::Kind(kind) => {
                        self.kind == kind
                            && self.depth == 2
                            && matches!(self.parent, "spec" | "status")
                    }
                    Within::Top => self.depth == 1,
                }
        })
    }
}

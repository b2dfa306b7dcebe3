//! From the rules as written to programs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::schema::error::{ErrorKind, FieldError};
use crate::schema::node::{Additional, ListType, Node};

/// One entry of `x-kubernetes-validations`.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) text: String,
    pub(super) program: Arc<Program>,
    pub(super) message: String,
    pub(super) message_program: Option<Arc<Program>>,
    /// What a violation is reported as.
    pub(super) kind: ErrorKind,
    /// Appended to the path of the value; empty or such as `.spec` or `[key]`.
    pub(super) field_path: String,
    /// The rule compares with the old value.
    pub(super) transition: bool,
    /// `oldSelf` is an optional, and the rule holds for new values, too.
    pub(super) optional_old: bool,
}

/// The rules of one level of a schema and of those below. Levels without any are left out.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) rules: Vec<Rule>,
    pub(super) properties: BTreeMap<String, Level>,
    pub(super) additional: Option<Box<Level>>,
    pub(super) items: Option<Box<Level>>,
    /// There is a transition rule here or below.
    pub(super) transitions: bool,
}

/// All rules of a schema.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(super) root: Option<Level>,
    /// Some expression needs [`STACK`] to be evaluated.
    pub(super) deep: bool,
    /// What does not compile; paths start at the schema.
    pub(crate) errors: Vec<FieldError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    rule: String,
    message: Option<String>,
    message_expression: Option<String>,
    reason: Option<String>,
    field_path: Option<String>,
    #[serde(default)]
    optional_old_self: Option<bool>,
}

/// Longer texts are not parsed.
const MAX_TEXT: usize = 10_000;
/// Brackets within brackets, and conditionals, in the text: what the parser recurses on.
const MAX_NESTING: usize = 64;
/// Levels of the parsed expression: what evaluation recurses on. As many as Kubernetes allows.
const MAX_DEPTH: usize = 250;
/// Deeper expressions than this are evaluated on a stack of their own.
const SHALLOW: usize = 16;
/// The parser, and the interpreter of deep expressions, need more than a worker thread has.
const STACK: usize = 64 << 20;
/// How much of an expression an error shows.
const MAX_SHOWN: usize = 200;

impl Rules {
    /// Compiles every rule at or below a node.
    pub(super) fn compile(root: &Node) -> Self {
        if !has_rules(root) {
            return Self::default();
        }
        let work = || {
            let mut compiler = Compiler::default();
            let root = compiler.level(root, "", true);
            (root, compiler.deep, compiler.errors)
        };
        // A thread of its own: for its stack, and so that a panic in the parser stays there.
        match with_room("cel-compiler", work) {
            Some((root, deep, errors)) => Self { root, deep, errors },
            None => Self {
                root: None,
                deep: false,
                errors: vec![FieldError::new(
                    "",
                    ErrorKind::Invalid,
                    None,
                    "the rules cannot be compiled",
                )],
            },
        }
    }
}

fn has_rules(node: &Node) -> bool {
    node.rules.is_some()
        || node.properties.values().any(has_rules)
        || node.items.as_deref().is_some_and(has_rules)
        || matches!(&node.additional, Additional::Of(child) if has_rules(child))
}

#[derive(Default)]
struct Compiler {
    programs: HashMap<String, Arc<Program>>,
    deep: bool,
    errors: Vec<FieldError>,
}

impl Compiler {
    /// `correlatable`: there is a way to tell which old value belongs to a new one.
    fn level(&mut self, node: &Node, path: &str, correlatable: bool) -> Option<Level> {
        let mut level = Level::default();
        if let Some(raw) = &node.rules {
            self.rules(raw, path, correlatable, &mut level.rules);
        }
        for (name, child) in &node.properties {
            let at = format!("{path}.properties[{name}]");
            // An atomic map still has fields, but they change together.
            if let Some(child) = self.level(child, &at, correlatable && !node.atomic_map) {
                level.properties.insert(name.clone(), child);
            }
        }
        if let Additional::Of(child) = &node.additional {
            let at = format!("{path}.additionalProperties");
            let child = self.level(child, &at, correlatable && !node.atomic_map);
            level.additional = child.map(Box::new);
        }
        if let Some(child) = &node.items {
            let keyed = matches!(node.list_type, ListType::Map(_));
            let child = self.level(child, &format!("{path}.items"), correlatable && keyed);
            level.items = child.map(Box::new);
        }
        level.transitions = level.rules.iter().any(|rule| rule.transition)
            || level.properties.values().any(|child| child.transitions)
            || level
                .additional
                .as_ref()
                .is_some_and(|child| child.transitions)
            || level.items.as_ref().is_some_and(|child| child.transitions);
        let empty = level.rules.is_empty()
            && level.properties.is_empty()
            && level.additional.is_none()
            && level.items.is_none();
        (!empty).then_some(level)
    }

    fn rules(&mut self, raw: &Value, path: &str, correlatable: bool, rules: &mut Vec<Rule>) {
        let path = format!("{path}.x-kubernetes-validations");
        let Some(list) = raw.as_array() else {
            if !raw.is_null() {
                self.invalid(&path, raw, "must be a list of rules");
            }
            return;
        };
        for (index, raw) in list.iter().enumerate() {
            let at = format!("{path}[{index}]");
            match Raw::deserialize(raw) {
                Ok(raw) => rules.extend(self.rule(raw, &at, correlatable)),
                Err(error) => self.invalid(&at, raw, error.to_string()),
            }
        }
    }

    fn rule(&mut self, raw: Raw, path: &str, correlatable: bool) -> Option<Rule> {
        let before = self.errors.len();
        let at = |field: &str| format!("{path}.{field}");
        if raw.rule.trim().is_empty() {
            self.errors.push(FieldError::new(
                &at("rule"),
                ErrorKind::Required,
                None,
                "rule is not specified",
            ));
            return None;
        }
        let program = self.program(&raw.rule, &at("rule"));
        let message_program = raw
            .message_expression
            .as_deref()
            .and_then(|text| self.program(text, &at("messageExpression")));
        let kind = match raw.reason.as_deref() {
            None | Some("" | "FieldValueInvalid") => ErrorKind::Invalid,
            Some("FieldValueForbidden") => ErrorKind::Forbidden,
            Some("FieldValueRequired") => ErrorKind::Required,
            Some("FieldValueDuplicate") => ErrorKind::Duplicate,
            Some(other) => {
                self.errors.push(FieldError::new(
                    &at("reason"),
                    ErrorKind::NotSupported,
                    Some(json!(other)),
                    "supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \
                     \"FieldValueInvalid\", \"FieldValueRequired\"",
                ));
                ErrorKind::Invalid
            }
        };
        let field_path = raw.field_path.unwrap_or_default();
        if !field_path.is_empty() && !field_path.starts_with(['.', '[']) {
            self.invalid(
                &at("fieldPath"),
                &json!(field_path),
                "must be a path such as .field or ['key']",
            );
        }
        if let Some(message) = &raw.message
            && (message.trim().is_empty() || message.contains('\n'))
        {
            self.invalid(
                &at("message"),
                &json!(message),
                "must be one line that is not blank",
            );
        }
        let uses_old = |program: &Arc<Program>| program.references().has_variable("oldSelf");
        let transition = program.as_ref().is_some_and(uses_old)
            || message_program.as_ref().is_some_and(uses_old);
        let optional_old = raw.optional_old_self == Some(true);
        if (transition || optional_old) && !correlatable {
            self.invalid(
                &at("rule"),
                &json!(raw.rule),
                "oldSelf cannot be used on the uncorrelatable portion of the schema",
            );
        }
        if optional_old && !transition {
            self.invalid(
                &at("optionalOldSelf"),
                &json!(true),
                "may not be set to true if oldSelf is not used in the rule",
            );
        }
        if self.errors.len() > before {
            return None;
        }
        Some(Rule {
            program: program?,
            message: raw
                .message
                .unwrap_or_else(|| format!("failed rule: {}", raw.rule)),
            message_program,
            kind,
            field_path: field_path.replace("['", "[").replace("']", "]"),
            transition,
            optional_old,
            text: raw.rule,
        })
    }

    fn program(&mut self, text: &str, path: &str) -> Option<Arc<Program>> {
        if let Some(program) = self.programs.get(text) {
            return Some(Arc::clone(program));
        }
        let parsed = match parse(text, RULE_VARIABLES) {
            Ok(parsed) => parsed,
            Err(problem) => {
                let shown: String = text.chars().take(MAX_SHOWN).collect();
                self.invalid(path, &json!(shown), problem);
                return None;
            }
        };
        self.deep |= parsed.deep;
        let program = Arc::new(parsed.program);
        self.programs.insert(text.to_owned(), Arc::clone(&program));
        Some(program)
    }

    fn invalid(&mut self, path: &str, value: &Value, detail: impl Into<String>) {
        let error = FieldError::new(path, ErrorKind::Invalid, Some(value.clone()), detail);
        self.errors.push(error);
    }
}

/// An expression that can be evaluated.
pub(super) struct Parsed {
    pub(super) program: Program,
    /// Evaluation needs [`STACK`].
    pub(super) deep: bool,
}

/// Parses an expression in which `variables` have a meaning. Needs [`STACK`].
pub(super) fn parse(text: &str, variables: &[&str]) -> Result<Parsed, String> {
    if text.len() > MAX_TEXT || nesting(text) > MAX_NESTING {
        return Err("compilation failed: the expression is too large".to_owned());
    }
    let program = Program::compile(text).map_err(|error| format!("compilation failed: {error}"))?;
    let mut names = Names::default();
    if !names.visit(program.expression(), 0) {
        return Err("compilation failed: the expression is too deep".to_owned());
    }
    if let Some(unknown) = names.unknown(variables) {
        return Err(format!(
            "compilation failed: undeclared reference to '{unknown}'"
        ));
    }
    let deep = names.deepest > SHALLOW;
    Ok(Parsed { program, deep })
}

/// Runs something on a large stack of its own. `None` if it panics or there is no thread.
pub(super) fn with_room<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .ok()?
            .join()
            .ok()
    })
}

/// How deep brackets nest outside of string literals, plus the number of conditionals.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut conditionals) = (0_usize, 0, 0);
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '(' | '[' | '{' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '?' => conditionals += 1,
                _ => {}
            },
        }
    }
    deepest + conditionals
}

/// The variables of the rules of schemas.
const RULE_VARIABLES: &[&str] = &["self", "oldSelf"];

/// Names that stand for something in every expression: types, and the name spaces of functions.
const DECLARED: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "base64",
    "cel",
    "cidr",
    "format",
    "google",
    "ip",
    "jsonpatch",
    "lists",
    "math",
    "optional",
    "sets",
    "strings",
];

/// The names an expression uses and those it declares itself.
#[derive(Default)]
struct Names<'a> {
    used: HashSet<&'a str>,
    declared: HashSet<&'a str>,
    deepest: usize,
}

impl<'a> Names<'a> {
    /// A name that nothing declares.
    fn unknown(&self, variables: &[&str]) -> Option<&'a str> {
        let mut unknown: Vec<&str> = self
            .used
            .iter()
            .filter(|name| !name.starts_with('@') && !DECLARED.contains(name))
            .filter(|name| !variables.contains(name))
            .filter(|name| !self.declared.contains(*name))
            .copied()
            .collect();
        unknown.sort_unstable();
        unknown.first().copied()
    }

    /// False if the expression is too deep.
    fn visit(&mut self, expression: &'a IdedExpr, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        self.deepest = self.deepest.max(depth);
        let depth = depth + 1;
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => true,
            Expr::Ident(name) => {
                self.used.insert(name);
                true
            }
            Expr::Select(select) => self.visit(&select.operand, depth),
            Expr::Call(call) => {
                call.target.iter().all(|target| self.visit(target, depth))
                    && call.args.iter().all(|argument| self.visit(argument, depth))
            }
            Expr::List(list) => list.elements.iter().all(|item| self.visit(item, depth)),
            Expr::Comprehension(each) => {
                self.declared.insert(&each.iter_var);
                self.declared.extend(each.iter_var2.as_deref());
                self.declared.insert(&each.accu_var);
                [
                    &each.iter_range,
                    &each.accu_init,
                    &each.loop_cond,
                    &each.loop_step,
                    &each.result,
                ]
                .into_iter()
                .all(|part| self.visit(part, depth))
            }
            Expr::Map(map) => map
                .entries
                .iter()
                .all(|entry| self.visit_entry(&entry.expr, depth)),
            Expr::Struct(fields) => fields
                .entries
                .iter()
                .all(|entry| self.visit_entry(&entry.expr, depth)),
        }
    }

    fn visit_entry(&mut self, entry: &'a EntryExpr, depth: usize) -> bool {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, depth),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, depth) && self.visit(&entry.value, depth)
            }
        }
    }
}

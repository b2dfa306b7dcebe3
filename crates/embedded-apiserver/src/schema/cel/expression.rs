//! Single expressions over named values, as the match conditions of webhooks are.

use std::collections::HashMap;

use kube_cel::cel::{Program, Value as Cel};
use serde_json::Value;

use super::compile::{Parsed, parse, with_room};
use super::{FUNCTIONS, run, value};

/// An expression that has been compiled.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
    deep: bool,
}

/// What an expression comes to, as far as anybody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
    /// Something else.
    Other,
}

impl Expression {
    /// Compiles an expression in which `variables` have a meaning, or says why it does not.
    pub(crate) fn compile(text: &str, variables: &[&str]) -> Result<Self, String> {
        let compiled = with_room("cel-compiler", || parse(text, variables));
        let Parsed { program, deep } =
            compiled.unwrap_or_else(|| Err("the expression cannot be compiled".to_owned()))?;
        Ok(Self { program, deep })
    }
}

/// Evaluates expressions over the same values. An expression without an answer says why.
pub(crate) fn evaluate(
    expressions: &[&Expression],
    values: &[(&str, &Value)],
) -> Vec<Result<Answer, String>> {
    evaluate_with(&[], expressions, values)
}

/// The name under which [`evaluate_with`] offers what it has computed.
const VARIABLES: &str = "variables";

/// The same, with named values that are computed first, in order, and are fields of `variables`
/// from then on. One that cannot be computed is missing there, and so is a failure only where it
/// is used.
pub(crate) fn evaluate_with(
    variables: &[(String, Expression)],
    expressions: &[&Expression],
    values: &[(&str, &Value)],
) -> Vec<Result<Answer, String>> {
    let all = || {
        let variables = variables.iter().map(|(_, expression)| expression);
        variables.chain(expressions.iter().copied())
    };
    let work = || {
        let mut scope = FUNCTIONS.new_inner_scope();
        for (name, value) in values {
            // Objects are large; most conditions look at one of them.
            let used = |expression: &Expression| expression.program.references().has_variable(name);
            if all().any(used) {
                scope.add_variable_from_value(*name, value::untyped(value));
            }
        }
        let mut known = HashMap::new();
        for (name, expression) in variables {
            scope.add_variable_from_value(VARIABLES, value::fields(&known));
            if let Ok(value) = run(&expression.program, &scope) {
                known.insert(value::key(name), value);
            }
        }
        if !variables.is_empty() {
            scope.add_variable_from_value(VARIABLES, value::fields(&known));
        }
        let answer = |expression: &&Expression| match run(&expression.program, &scope)? {
            Cel::Bool(flag) => Ok(Answer::Bool(flag)),
            Cel::String(text) => Ok(Answer::Text(text.to_string())),
            _ => Ok(Answer::Other),
        };
        expressions.iter().map(answer).collect()
    };
    if all().any(|expression| expression.deep) {
        with_room("cel-conditions", work).unwrap_or_else(|| {
            let problem = || Err("the expression cannot be evaluated".to_owned());
            expressions.iter().map(|_| problem()).collect()
        })
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_see_their_variables_only() {
        let object = json!({"metadata": {"labels": {"a": "b"}}, "n": 3});
        let values = [("object", &object), ("oldObject", &Value::Null)];
        let cases = [
            ("object.metadata.labels.a == 'b'", Ok(Answer::Bool(true))),
            ("'a' in object.metadata.labels", Ok(Answer::Bool(true))),
            ("has(object.metadata.annotations)", Ok(Answer::Bool(false))),
            ("oldObject == null", Ok(Answer::Bool(true))),
            ("object.n", Ok(Answer::Other)),
            ("object.metadata.labels.a", Ok(Answer::Text("b".to_owned()))),
            (
                "dyn(object).all(k, k in ['metadata', 'n'])",
                Ok(Answer::Bool(true)),
            ),
            ("object.none == 1", Err("no such key: none".to_owned())),
        ];
        for (text, expected) in cases {
            let expression = Expression::compile(text, &["object", "oldObject"]).unwrap();
            assert_eq!(evaluate(&[&expression], &values), [expected], "{text}");
        }
        for bad in ["self.a", "authorizer.path('/')", "object.", ""] {
            assert!(Expression::compile(bad, &["object"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn deep_expressions_have_room() {
        let text = format!("{}true{}", "(1 == 1 && ".repeat(50), ")".repeat(50));
        let expression = Expression::compile(&text, &[]).unwrap();
        assert!(expression.deep);
        assert_eq!(evaluate(&[&expression], &[]), [Ok(Answer::Bool(true))]);
    }
}

//! Evaluates the CEL expressions of the manifests in tests.

use std::collections::HashMap;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::extractors::This;
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

/// The function `dyn`: a hint for the type checker of Kubernetes. The library checks no types
/// beforehand and does not have it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature that the library asks for"
)]
fn dynamic(This(value): This<Cel>) -> Result<Cel, ExecutionError> {
    Ok(value)
}

/// An environment as Kubernetes has it, with these names in it.
pub(crate) fn context(names: &[(&str, &Value)]) -> Context<'static> {
    let mut context = Context::default().with_all();
    context.add_function("dyn", dynamic);
    for (name, value) in names {
        context.add_variable_from_value(*name, to_cel(value));
    }
    context
}

/// JSON as CEL sees it: whole numbers are signed.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.clone().into(),
        Value::Array(items) => items.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let map: HashMap<String, Cel> = fields
                .map(|(key, value)| (key.clone(), to_cel(value)))
                .collect();
            map.into()
        }
    }
}

/// Whether an expression over these objects is true.
///
/// # Errors
/// Why it cannot be compiled or evaluated.
pub(crate) fn holds(expression: &str, names: &[(&str, &Value)]) -> Result<bool, String> {
    let context = context(names);
    let program = Program::compile(expression).map_err(|error| format!("{expression}: {error}"))?;
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("{expression}: not a truth value: {other:?}")),
        Err(error) => Err(format!("{expression}: {error}")),
    }
}

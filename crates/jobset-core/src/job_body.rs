//! Jobs to create, built when they are sent: a thousand Jobs that wait for their turn then cost
//! what one does.

use std::sync::Arc;

use serde_json::Value;

use crate::construct::JobFactory;

/// A Job that is to be created. Cheap to keep and to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct JobBody(Source);

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Replica {
        factory: Arc<JobFactory>,
        index: i64,
    },
    Whole(Value),
}

impl JobBody {
    /// The Job of this index.
    pub(crate) fn replica(factory: Arc<JobFactory>, index: i64) -> Self {
        Self(Source::Replica { factory, index })
    }

    /// The whole object.
    #[must_use]
    pub fn build(&self) -> Value {
        match &self.0 {
            Source::Replica { factory, index } => factory.build(*index).1,
            Source::Whole(body) => body.clone(),
        }
    }
}

/// A Job as it is.
impl From<Value> for JobBody {
    fn from(body: Value) -> Self {
        Self(Source::Whole(body))
    }
}

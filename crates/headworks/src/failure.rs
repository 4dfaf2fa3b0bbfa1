//! How a command fails: what is wrong, what helps, and the exit code.

use std::process::ExitCode;

use headworks_client::Error as ClientError;
use headworks_types::ProblemCode;

use crate::output;

const USER: u8 = 1;
const BUG: u8 = 70;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// Something that the user can do something about.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: USER,
        }
    }

    /// Something that nobody should see.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self {
            code: BUG,
            ..Self::user(message)
        }
    }

    /// Any error, with its causes.
    pub(crate) fn from_error(error: impl Into<anyhow::Error>) -> Self {
        Self::from(error.into())
    }

    /// Says what helps.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells the user.
    pub(crate) fn report(&self) -> ExitCode {
        output::error(&self.to_string());
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<ClientError>() {
            Ok(error) => Self::from(error),
            Err(error) => Self::user(format!("{error:#}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::user(error.to_string());
        match &error {
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => failure.with_hint(
                "is Headworks running there? The address comes from --api or HEADWORKS_API",
            ),
            ClientError::Problem(problem) => match problem.code {
                ProblemCode::Unauthenticated => failure.with_hint(
                    "give an API key with --key-file, or in the variable HEADWORKS_API_KEY",
                ),
                ProblemCode::Internal => {
                    let request = problem.request_id.as_deref().unwrap_or("unknown");
                    Self::bug(error.to_string()).with_hint(format!(
                        "the server's log says more about request {request}"
                    ))
                }
                _ => failure,
            },
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use headworks_types::Problem;

    use super::*;

    fn problem(code: ProblemCode) -> Failure {
        let problem = Problem::new(code).with_detail("it is so");
        Failure::from(ClientError::Problem(Box::new(problem)))
    }

    #[test]
    fn people_are_told_what_is_wrong_and_what_helps() {
        assert_eq!(
            problem(ProblemCode::Unauthenticated).to_string(),
            "error: it is so\n\nhint: give an API key with --key-file, or in the variable \
             HEADWORKS_API_KEY"
        );
        assert_eq!(
            problem(ProblemCode::Conflict).to_string(),
            "error: it is so"
        );
    }

    #[test]
    fn bugs_have_an_exit_code_of_their_own() {
        assert_eq!(problem(ProblemCode::Internal).code, 70);
        assert_eq!(problem(ProblemCode::NotFound).code, 1);
        let chain = anyhow::anyhow!("inner").context("outer");
        assert_eq!(Failure::from(chain).to_string(), "error: outer: inner");
    }
}

//! The second factor of an operator: set up, asked for at sign-in, taken away.

use ekho_storage::tables::totp::{self, Totp};
use ekho_storage::tables::{FleetNo, fleet};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::totp::{Enrolment, check, new_recovery_codes, new_secret, plain_recovery_code};
use crate::machine::command::{OperatorRequest, SecondFactor};
use crate::machine::outcome::Refusal;

/// What somebody shows beside their password.
pub enum Shown {
    /// Nothing.
    Nothing,
    /// A code of their authenticator.
    Code(Zeroizing<String>),
    /// A recovery code.
    Recovery(Zeroizing<String>),
}

/// What it is worth.
pub(super) enum Judged {
    /// Nothing is asked for.
    NotAsked,
    /// It is asked for, and nothing was shown.
    Missing,
    /// It does not fit.
    Wrong,
    /// It fits; whether for the first time, apply decides.
    Fits(SecondFactor),
}

impl Judged {
    /// What goes into the command; none where it is clear already that it would be refused.
    pub(super) fn into_second(self) -> Option<Option<SecondFactor>> {
        match self {
            Judged::NotAsked => Some(None),
            Judged::Fits(second) => Some(Some(second)),
            Judged::Missing | Judged::Wrong => None,
        }
    }
}

impl Service {
    /// An operator's second factor as it stands.
    pub async fn totp(&self, by: &Caller) -> Result<Option<Totp>, ServiceError> {
        let view = self.operator_view().await?;
        let principal = &by.principal;
        Ok(totp::get(&view, principal.fleet, &principal.operator.id)?)
    }

    /// Makes a secret for the caller's authenticator. It is not asked for before a code of it came
    /// back.
    pub async fn begin_totp(
        &self,
        by: &Caller,
        password: Zeroizing<String>,
    ) -> Result<Enrolment, ServiceError> {
        self.prove_again(by, password, None).await?;
        let (fleet, operator) = (by.principal.fleet, &by.principal.operator);
        let secret = new_secret();
        let request = OperatorRequest::BeginTotp {
            current_hash: operator.password_hash.clone(),
            secret_id: id::new_id("otp_"),
            sealed_secret: self.seal(&owner(&operator.id), secret.as_slice())?,
        };
        self.order(by, request).await?;
        let name = fleet::get(&self.view(), fleet)?.map_or(String::new(), |fleet| fleet.name);
        Enrolment::new(secret.as_slice(), &name, &operator.email)
            .map_err(|error| ServiceError::Internal(error.to_string()))
    }

    /// Has the second factor asked for from now on, provided the code fits; the recovery codes.
    /// None where the code does not fit.
    pub async fn confirm_totp(
        &self,
        by: &Caller,
        code: Zeroizing<String>,
    ) -> Result<Option<Vec<Zeroizing<String>>>, ServiceError> {
        let begun = self.totp(by).await?.ok_or(Refusal::NotFound)?;
        let Some(step) = self.fitting_step(&begun, &by.principal.operator.id, &code)? else {
            return Ok(None);
        };
        let codes = new_recovery_codes();
        let request = OperatorRequest::ConfirmTotp {
            secret_id: begun.secret_id,
            step,
            recovery_hashes: codes.iter().map(|code| self.recovery_hash(code)).collect(),
        };
        self.order(by, request).await?;
        Ok(Some(codes))
    }

    /// Takes the caller's second factor away, against their password and a code.
    pub async fn disable_totp(
        &self,
        by: &Caller,
        password: Zeroizing<String>,
        shown: Shown,
    ) -> Result<(), ServiceError> {
        let second = self.prove_again(by, password, Some(shown)).await?;
        let request = OperatorRequest::DisableTotp {
            current_hash: by.principal.operator.password_hash.clone(),
            second,
        };
        self.order(by, request).await.map(|_| ())
    }

    /// Whether a second factor is asked for, and what was shown fits.
    pub(super) fn judge_second(
        &self,
        fleet: FleetNo,
        operator_id: &str,
        shown: &Shown,
    ) -> Result<Judged, ServiceError> {
        let found = totp::get(&self.view(), fleet, operator_id)?;
        let Some(totp) = found.filter(|totp| totp.confirmed_ms.is_some()) else {
            return Ok(Judged::NotAsked);
        };
        let fits = match shown {
            Shown::Nothing => return Ok(Judged::Missing),
            Shown::Code(code) => {
                let step = self.fitting_step(&totp, operator_id, code)?;
                step.map(|step| SecondFactor::Totp {
                    secret_id: totp.secret_id,
                    step,
                })
            }
            Shown::Recovery(code) => {
                let code_hash = self.recovery_hash(code);
                let is_known = totp.recovery_hashes.contains(&code_hash);
                is_known.then_some(SecondFactor::Recovery {
                    secret_id: totp.secret_id,
                    code_hash,
                })
            }
        };
        Ok(fits.map_or(Judged::Wrong, Judged::Fits))
    }

    fn fitting_step(
        &self,
        totp: &Totp,
        operator_id: &str,
        code: &str,
    ) -> Result<Option<u64>, ServiceError> {
        let secret = self.sealer.open(&owner(operator_id), &totp.sealed_secret)?;
        check(&secret, code, now_ms()).map_err(|error| ServiceError::Internal(error.to_string()))
    }

    fn recovery_hash(&self, code: &str) -> [u8; 32] {
        self.tokens.hash(&plain_recovery_code(code))
    }
}

/// Whom a secret is sealed for: in the room of second factors, so that nothing else that is sealed
/// for the same id opens as one.
pub(super) fn owner(operator_id: &str) -> String {
    format!("totp {operator_id}")
}

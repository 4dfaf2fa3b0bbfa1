//! Who may hear what he watches.

use headworks_types::PlaybackBounds;

use super::{
    customer::{KID, ed25519, said},
    *,
};

const HEAR: &str = "camera.view_audio";
const SEE: &str = "camera.view_live";

impl World {
    /// True if this `act` lets its viewer hear; none: the token does not say.
    fn hears(&self, act: Option<Value>) -> Result<bool, Denied> {
        let mut claims = self.claims();
        claims["act"] = act.unwrap_or_default();
        if claims["act"].is_null() {
            claims.as_object_mut().expect("an object").remove("act");
        }
        let session = self.open(&self.issuer.sign(&self.issuer.header(), &claims))?;
        Ok(session.about().sound)
    }
}

#[test]
fn a_token_lets_hear_if_it_says_so_or_nothing() {
    let world = World::new();
    assert_eq!(world.hears(None), Ok(true));
    assert_eq!(world.hears(Some(json!([SEE, HEAR]))), Ok(true));
    assert_eq!(world.hears(Some(json!([SEE]))), Ok(false));
    assert_eq!(world.hears(Some(json!([HEAR]))), Err(Denied::Action));
    assert_eq!(world.hears(Some(json!([]))), Err(Denied::Action));
}

#[test]
fn a_ticket_lets_hear_no_more_than_its_token() {
    let world = World::new();
    for sound in [true, false] {
        let now = world.clock.now();
        let token = if sound {
            world.issuer.token(world.camera, now)
        } else {
            world.issuer.silent_token(world.camera, now)
        };
        let session = world.open(&token).expect("a good token");
        let ticket = world.access.ticket(&session);
        drop(session);
        let back = world.access.resume(&ticket, world.camera, &client());
        assert_eq!(back.expect("a good ticket").about().sound, sound);
    }
}

#[test]
fn a_customers_token_lets_hear_within_the_bounds_of_its_key() {
    for (bounds, act, hears) in [
        (vec![SEE, HEAR], None, true),
        (vec![SEE, HEAR], Some(json!([SEE])), false),
        (vec![SEE], None, false),
        (vec![SEE], Some(json!([SEE, HEAR])), false),
    ] {
        let world = World::new();
        let customer = Issuer::new(KID);
        let actions = bounds.iter().map(|name| Action::from_name(name));
        let actions = actions.map(|action| action.expect("is one")).collect();
        world.trust(
            ed25519(&customer),
            PlaybackBounds {
                actions: Some(actions),
                ..customer::bounds()
            },
        );
        let mut said = said(&world);
        if let Some(act) = &act {
            said["act"] = act.clone();
        }
        let session = world.open(&customer.sign(&customer.header(), &said));
        let session = session.expect("opens");
        assert_eq!(session.about().sound, hears, "{bounds:?} {act:?}");
    }
}

//! Which of the four services a process plays.

use bytes::Bytes;
use http::Request;

use crate::productpage::Productpage;
use crate::ratings::Ratings;
use crate::reply::Reply;
use crate::reviews::Reviews;
use crate::{Environment, details};

/// One of the four services, ready to answer.
pub enum Role {
    /// Facts about the book.
    Details,
    /// The page a browser shows.
    Productpage(Productpage),
    /// Stars.
    Ratings(Ratings),
    /// What readers say, with stars from ratings where this version has them.
    Reviews(Reviews),
}

impl Role {
    /// The role of a name, set up by the environment.
    pub fn named(name: &str, environment: &Environment) -> Option<Self> {
        Some(match name {
            "details" => Self::Details,
            "productpage" => Self::Productpage(Productpage::new(environment)),
            "ratings" => Self::Ratings(Ratings::new(environment)),
            "reviews" => Self::Reviews(Reviews::new(environment)),
            _ => return None,
        })
    }

    /// Answers one request.
    pub async fn answer(&self, request: &Request<Bytes>) -> Reply {
        match self {
            Self::Details => details::answer(request),
            Self::Productpage(productpage) => productpage.answer(request).await,
            Self::Ratings(ratings) => ratings.answer(request).await,
            Self::Reviews(reviews) => reviews.answer(request).await,
        }
    }
}

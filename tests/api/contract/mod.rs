//! Every row of the agent API in the contract: what goes in, what comes out, what is refused.

mod actions;
mod agent;
mod conversations;
mod enroll;
mod inbox;
mod messages;
mod odd_bodies;
mod original_sdks;
mod rooms;

mod acks;
mod follow;
mod frames;
mod mailbox;
mod places;
mod request;
mod told;
mod wanted;

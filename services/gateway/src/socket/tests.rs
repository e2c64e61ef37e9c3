mod acks;
mod follow;
mod frames;
mod places;
mod request;
mod told;
mod wanted;

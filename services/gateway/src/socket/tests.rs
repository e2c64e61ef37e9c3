mod acks;
mod bucket;
mod follow;
mod frames;
mod places;
mod request;
mod told;
mod wanted;

mod follow;
mod frames;
mod request;
mod wanted;

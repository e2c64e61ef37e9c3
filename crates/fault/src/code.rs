//! The kinds of failure, each with what gRPC and HTTP call it.

/// What kind of failure happened, independent of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request itself is wrong; sending it again unchanged cannot help.
    InvalidArgument,
    /// Nobody proved who is calling.
    Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// What was asked for does not exist, or not for this caller.
    NotFound,
    /// It exists already, or is being changed by someone else.
    Conflict,
    /// The request is well formed and does not fit the present state.
    FailedPrecondition,
    /// A limit is used up.
    ResourceExhausted,
    /// The time allowed for the work ran out.
    DeadlineExceeded,
    /// The caller, or someone on the caller's behalf, gave the work up.
    Cancelled,
    /// A dependency is away for now.
    Unavailable,
    /// The contract names it and this version does not do it yet.
    Unimplemented,
    /// A defect or an unexpected state on our side.
    Internal,
}

impl Code {
    /// Returns the gRPC status code.
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidArgument => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::Conflict => tonic::Code::AlreadyExists,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::ResourceExhausted => tonic::Code::ResourceExhausted,
            Self::DeadlineExceeded => tonic::Code::DeadlineExceeded,
            Self::Cancelled => tonic::Code::Cancelled,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Unimplemented => tonic::Code::Unimplemented,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// Returns the kind that a foreign gRPC status code stands for.
    pub const fn from_grpc(code: tonic::Code) -> Self {
        match code {
            tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Self::InvalidArgument,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
            tonic::Code::PermissionDenied => Self::PermissionDenied,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists | tonic::Code::Aborted => Self::Conflict,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::ResourceExhausted => Self::ResourceExhausted,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::Cancelled => Self::Cancelled,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::Unimplemented => Self::Unimplemented,
            tonic::Code::Ok | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::DataLoss => Self::Internal,
        }
    }

    /// Tells whether work that was refused like this may have been taken in all the same.
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::Unavailable | Self::DeadlineExceeded | Self::Cancelled | Self::Internal)
    }

    /// Tells whether the same work may succeed when it is tried again later.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::ResourceExhausted | Self::Internal)
    }
}

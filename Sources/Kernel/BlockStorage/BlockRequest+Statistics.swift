import Statistics

extension BlockRequest.Operation {
    /// The kind by which the request is counted.
    package var counted: RequestKind {
        switch self {
        case .read: .read
        case .write: .write
        case .flush: .flush
        case .trim: .trim
        case .writeZeroes: .zero
        }
    }
}

/// An operation's index in the pool. Lists, locks, tokens and tables name operations by it.
struct OperationIndex: RawRepresentable, BitwiseCopyable, Hashable, Sendable {
    /// Stands for no operation in links between operations, which have no room for an optional.
    static let none = OperationIndex(rawValue: -1)

    let rawValue: Int32

    var isNone: Bool { rawValue < 0 }
}

extension UnsafeMutablePointer where Pointee == StripeOperation {
    /// The operation with an index.
    subscript(index: OperationIndex) -> StripeOperation {
        unsafeAddress {
            assert(!index.isNone, "the link leads to no operation")
            return UnsafePointer(self + Int(index.rawValue))
        }
        nonmutating unsafeMutableAddress {
            assert(!index.isNone, "the link leads to no operation")
            return self + Int(index.rawValue)
        }
    }

    /// The address of the operation with an index.
    static func + (operations: Self, index: OperationIndex) -> Self {
        assert(!index.isNone, "the link leads to no operation")
        return operations + Int(index.rawValue)
    }
}

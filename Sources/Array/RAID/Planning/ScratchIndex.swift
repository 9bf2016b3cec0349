/// The index of an operation's blocks in the scratch pool. Small blocks come first, then large ones.
struct ScratchIndex: RawRepresentable, BitwiseCopyable, Hashable, Sendable {
    /// Stands for no blocks.
    static let none = ScratchIndex(rawValue: -1)

    let rawValue: Int32

    var isNone: Bool { rawValue < 0 }
}

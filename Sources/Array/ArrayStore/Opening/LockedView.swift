import Platform

/// The view of an array that was shown last, behind a lock that is never held for long.
final class LockedView: @unchecked Sendable {
    // SAFETY: `view` is touched under `lock`.
    private let lock = Lock()
    private var view: OpenedArray.View?

    func withLock<Result>(_ body: (inout OpenedArray.View?) -> Result) -> Result { lock.withLock { body(&view) } }
}

import Platform

/// What was shown of an array last, behind a lock that nobody holds for long.
final class LockedView: @unchecked Sendable {
    // SAFETY: `view` is touched under `lock`.
    private let lock = Lock()
    private var view: OpenedArray.View?

    func withLock<Result>(_ body: (inout OpenedArray.View?) -> Result) -> Result { lock.withLock { body(&view) } }
}

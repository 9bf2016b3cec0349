import Platform

/// A queue of slots.
extension IndexQueue {
    func append(_ slots: UnsafeBufferPointer<SlotIndex>) { append(count: slots.count) { slots[$0].rawValue } }

    /// - Parameter slots: room for `limit` slots.
    /// - Returns: the number of slots, and the place of the first.
    func take(into slots: UnsafeMutablePointer<SlotIndex>, limit: Int) -> (count: Int, place: UInt64) {
        take(limit: limit) { slots[$0] = SlotIndex(rawValue: $1) }
    }
}

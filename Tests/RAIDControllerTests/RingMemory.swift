import RAIDControllerInterface

/// The memory of a card's two rings, and the driver's end of them.
final class RingMemory {
    let submissions: UnsafeMutableRawBufferPointer
    let completions: UnsafeMutableRawBufferPointer
    let client: CardRingClient

    init(capacity: Int) {
        submissions = .allocate(byteCount: RAIDCommandDescriptor.ringByteCount(capacity: capacity), alignment: 64)
        completions = .allocate(byteCount: RAIDCompletionDescriptor.ringByteCount(capacity: capacity), alignment: 64)
        client = CardRingClient(
            submissions: submissions.baseAddress!, completions: completions.baseAddress!, capacity: capacity)
    }

    deinit {
        submissions.deallocate()
        completions.deallocate()
    }

    /// Takes the completions that are there.
    func taken() -> [RAIDCompletionDescriptor] {
        var completions: [RAIDCompletionDescriptor] = []
        client.takeCompletions { completions.append($0.pointee) }
        return completions
    }
}

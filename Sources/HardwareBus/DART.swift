import Synchronization

/// The emulated IOMMU ("device address resolution table") between a card and memory.
///
/// Bus addresses are made of windows of 4 GiB; a window maps one contiguous range of memory from its first
/// byte. The kernel half gives each task slot a window, so one lookup translates an address and proves that
/// the card may touch the whole range; anything else is a fault, as on Apple silicon.
///
/// The card reaches memory through a `Pin` only, and a window does not change while it is pinned:
///
///     free ──map──▶ open ──unmap, not pinned──────────────▶ free
///                     └───unmap, pinned──▶ closed ──last pin──▶ free
///
/// Only an open window can be pinned. So what `map` wrote is read by nobody before it is whole and by nobody while it is
/// written, and memory that the card may touch stays: the DART keeps its owner until the window is free.
///
/// Threads: any. One atomic word for each window says how it is.
public final class DART: Sendable {
    /// A bus address as a card and a driver see it. Never valid as a CPU address.
    public typealias BusAddress = UInt64

    private struct Window: BitwiseCopyable {
        var base: UInt = 0
        var byteCount: UInt64 = 0
        var isWritableByDevice = false
    }

    /// The card's hold on a window, for as long as it exists.
    public struct Pin: ~Copyable, Sendable {
        // SAFETY: whoever pins keeps the DART: a card has it as long as commands and rings.
        private unowned(unsafe) let dart: DART
        /// What was pinned.
        public let address: BusAddress

        fileprivate init(_ dart: DART, _ address: BusAddress) {
            self.dart = dart
            self.address = address
        }

        /// The memory behind the address, or nil when it is not mapped in full or the card would write to memory that it
        /// may only read: a DART fault. Valid as long as the pin.
        public func memory(byteCount: Int, deviceWrites: Bool) -> UnsafeMutableRawPointer? {
            dart.translate(address, byteCount: byteCount, deviceWrites: deviceWrites)
        }

        /// Whether the memory is a task's, and not of a driver's own.
        public var isOfTask: Bool { dart.windowOf(address) < dart.reservedCount }

        /// Lets go of the window, and notes that the card has filled so many bytes there.
        public consuming func end(filling byteCount: UInt64) {
            dart.unpin(dart.windowOf(address), filled: byteCount)
            discard self
        }

        deinit { dart.unpin(dart.windowOf(address), filled: 0) }
    }

    private static let windowShift: UInt64 = 32
    /// A window's word: the pins that are held, two bits, the pins so far, and the bytes that were filled so far.
    private static let heldMask: UInt64 = 0xFFFF
    /// It can be pinned.
    private static let isOpen: UInt64 = 1 << 16
    /// It is not free.
    private static let isTaken: UInt64 = 1 << 17
    private static let pinCountShift: UInt64 = 18
    private static let pinCountMask: UInt64 = 0xFFFF << pinCountShift
    private static let filledShift: UInt64 = 34
    /// The largest number of bytes that were filled, which then begins again at 0.
    public static let filledByteCountMax: UInt64 = 1 << (64 - filledShift) - 1

    private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
    // SAFETY: an entry of these is written between the two changes of its window's word that `map` or `letGo` makes, and
    // read by who has pinned the window.
    private nonisolated(unsafe) let windows: UnsafeMutablePointer<Window>
    private nonisolated(unsafe) let owners: UnsafeMutablePointer<AnyObject?>
    public let windowCount: Int
    /// Windows below this belong to the task slots; the rest are claimed one by one.
    private let reservedCount: Int
    private let nextWindow: Atomic<Int>
    // SAFETY: only kept.
    private nonisolated(unsafe) let taskMemory: AnyObject?

    /// - Parameters:
    ///   - windowCount: all windows.
    ///   - reservedCount: the first windows, whose numbers their owners choose themselves.
    ///   - taskMemory: owns all that the first windows will ever map. It lives as long as the DART, so that a task needs
    ///     no reference to it.
    public init(windowCount: Int, reservedCount: Int, taskMemory: AnyObject? = nil) {
        self.windowCount = windowCount
        self.reservedCount = reservedCount
        self.taskMemory = taskMemory
        nextWindow = Atomic(reservedCount)
        windows = .allocate(capacity: windowCount)
        windows.initialize(repeating: Window(), count: windowCount)
        owners = .allocate(capacity: windowCount)
        owners.initialize(repeating: nil, count: windowCount)
        words = .allocate(capacity: windowCount)
        for window in 0..<windowCount { (words + window).initialize(to: Atomic(0)) }
    }

    deinit {
        words.deinitialize(count: windowCount)
        words.deallocate()
        owners.deinitialize(count: windowCount)
        owners.deallocate()
        windows.deallocate()
    }

    // MARK: Who gives memory

    /// A window that nobody has, or nil when none is left. It is never given back: drivers claim a few, at start.
    public func claimWindow() -> Int? {
        let window = nextWindow.add(1, ordering: .relaxed).oldValue
        return window < windowCount ? window : nil
    }

    /// Lets the card reach `byteCount` bytes at `memory`.
    /// - Parameter owner: is kept as long as the card may reach the memory. None for a task's.
    /// - Returns: the bus address of the first byte, or nil when the window is not free.
    public func map(
        window: Int, memory: UnsafeMutableRawPointer, byteCount: Int, deviceMayWrite: Bool, owner: AnyObject? = nil
    ) -> BusAddress? {
        precondition(window >= 0 && window < windowCount && byteCount <= 1 << Self.windowShift)
        let word = words[window].load(ordering: .acquiring)
        let taken = word | Self.isTaken
        guard word & (Self.isTaken | Self.heldMask) == 0,
            words[window].compareExchange(expected: word, desired: taken, ordering: .acquiring).exchanged
        else { return nil }
        windows[window] = Window(
            base: UInt(bitPattern: memory), byteCount: UInt64(byteCount), isWritableByDevice: deviceMayWrite)
        if window >= reservedCount { owners[window] = owner }
        // Nobody else changes the word of a window that is taken and not open.
        words[window].store(taken | Self.isOpen, ordering: .releasing)
        return UInt64(window + 1) << Self.windowShift
    }

    /// Ends the card's access to a window. What the card has begun goes on, with the memory as it was; it begins nothing
    /// more.
    /// - Returns: whether the window is free. If not, it becomes so with the last pin.
    @discardableResult public func unmap(window: Int) -> Bool {
        var word = words[window].load(ordering: .acquiring)
        while word & Self.isOpen != 0 {
            let (isDone, current) = words[window].weakCompareExchange(
                expected: word, desired: word & ~Self.isOpen, ordering: .acquiringAndReleasing)
            if isDone {
                guard word & Self.heldMask == 0 else { return false }
                letGo(window)
                return true
            }
            word = current
        }
        return word & Self.isTaken == 0
    }

    /// Makes a window free that is closed and not pinned; one thread comes to this.
    private func letGo(_ window: Int) {
        // The DART may be the last to know of the memory.
        if window >= reservedCount { owners[window] = nil }
        words[window].subtract(Self.isTaken, ordering: .releasing)
    }

    /// Whether a window can be mapped.
    public func isFree(window: Int) -> Bool { words[window].load(ordering: .acquiring) & Self.isTaken == 0 }

    // MARK: Who uses it

    /// Says that the card works on the memory behind an address, so that it must not be taken away. The card pins
    /// a command's address when its doorbell rings and lets go of it before it posts the completion.
    /// - Returns: nil when nothing is mapped there.
    public func pin(_ address: BusAddress) -> Pin? {
        guard let window = window(of: address) else { return nil }
        var word = words[window].load(ordering: .relaxed)
        while word & Self.isOpen != 0 {
            let pinCount = (word &+ 1 << Self.pinCountShift) & Self.pinCountMask
            let (isDone, current) = words[window].weakCompareExchange(
                expected: word, desired: (word & ~Self.pinCountMask | pinCount) &+ 1, successOrdering: .acquiring,
                failureOrdering: .relaxed)
            if isDone { return Pin(self, address) }
            word = current
        }
        return nil
    }

    private func unpin(_ window: Int, filled byteCount: UInt64) {
        let change = byteCount << Self.filledShift &- 1
        let word = words[window].wrappingAdd(change, ordering: .acquiringAndReleasing).newValue
        if word & (Self.heldMask | Self.isOpen) == 0 { letGo(window) }
    }

    /// Whether the card works on a window's memory.
    public func isPinned(window: Int) -> Bool { words[window].load(ordering: .acquiring) & Self.heldMask != 0 }

    /// How often the window was pinned, in 16 bits: whether the card has seen a command for it since somebody looked.
    public func pinCount(window: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: words[window].load(ordering: .acquiring) >> Self.pinCountShift)
    }

    /// How many bytes of a window's memory the card has filled in the commands that have ended, counted on and on: what
    /// somebody saw earlier may be taken off (`filledByteCountMax`). Parts that were filled twice count twice.
    public func filledByteCount(window: Int) -> UInt64 {
        words[window].load(ordering: .acquiring) >> Self.filledShift
    }

    /// The window of a bus address, or nil when there is none.
    public func window(of address: BusAddress) -> Int? {
        let index = windowOf(address)
        return index >= 0 && index < windowCount ? index : nil
    }

    private func windowOf(_ address: BusAddress) -> Int { Int(truncatingIfNeeded: address >> Self.windowShift) - 1 }

    /// The bus addresses that windows can have.
    public var addressRange: Range<BusAddress> {
        1 << Self.windowShift..<UInt64(windowCount + 1) << Self.windowShift
    }

    /// Of a pinned address.
    private func translate(
        _ address: BusAddress, byteCount: Int, deviceWrites: Bool
    ) -> UnsafeMutableRawPointer? {
        let window = windows[windowOf(address)]
        let offset = address & (1 << Self.windowShift - 1)
        guard byteCount >= 0, offset <= window.byteCount, UInt64(byteCount) <= window.byteCount - offset,
            window.isWritableByDevice || !deviceWrites
        else { return nil }
        return UnsafeMutableRawPointer(bitPattern: window.base + UInt(offset))
    }
}

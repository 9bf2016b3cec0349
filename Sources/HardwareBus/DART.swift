import Synchronization

/// The emulated IOMMU ("device address resolution table") between a card and memory.
///
/// Bus addresses are made of windows of 4 GiB; a window maps one contiguous range of memory from its first
/// byte. The kernel half gives each task slot a window, so one lookup translates an address and proves that
/// the card may touch the whole range; anything else is a fault, as on Apple silicon.
///
/// Threads: `map` and `unmap` belong to the owner of the window; `translate` may run on any thread that was
/// handed the address after `map` returned.
public final class DART: Sendable {
    /// A bus address as a card and a driver see it. Never valid as a CPU address.
    public typealias BusAddress = UInt64

    struct Window {
        var base: UInt = 0
        var byteCount: UInt64 = 0
        var isWritableByDevice = false
    }

    static let windowShift: UInt64 = 32
    // SAFETY: each window has one owner at a time; see "Threads".
    private nonisolated(unsafe) let windows: UnsafeMutablePointer<Window>
    private nonisolated(unsafe) let pins: UnsafeMutablePointer<Atomic<UInt32>>
    public let windowCount: Int
    /// Windows below this belong to the task slots; the rest are claimed one by one.
    private let nextWindow: Atomic<Int>

    /// - Parameters:
    ///   - windowCount: all windows.
    ///   - reservedCount: the first windows, whose numbers their owners choose themselves.
    public init(windowCount: Int, reservedCount: Int) {
        self.windowCount = windowCount
        nextWindow = Atomic(reservedCount)
        windows = .allocate(capacity: windowCount)
        windows.initialize(repeating: Window(), count: windowCount)
        pins = .allocate(capacity: windowCount)
        for window in 0..<windowCount { (pins + window).initialize(to: Atomic(0)) }
    }

    deinit {
        pins.deinitialize(count: windowCount)
        pins.deallocate()
        windows.deallocate()
    }

    /// Lets the card reach `byteCount` bytes at `memory`, and returns the bus address of the first.
    public func map(
        window: Int, memory: UnsafeMutableRawPointer, byteCount: Int, deviceMayWrite: Bool
    ) -> BusAddress {
        precondition(window >= 0 && window < windowCount && byteCount <= 1 << Self.windowShift)
        windows[window] = Window(
            base: UInt(bitPattern: memory), byteCount: UInt64(byteCount), isWritableByDevice: deviceMayWrite)
        return UInt64(window + 1) << Self.windowShift
    }

    /// A window that nobody has, or nil when none is left. It is never given back: drivers claim a few, at start.
    public func claimWindow() -> Int? {
        let window = nextWindow.add(1, ordering: .relaxed).oldValue
        return window < windowCount ? window : nil
    }

    /// Ends the card's access to a window.
    public func unmap(window: Int) {
        windows[window] = Window()
    }

    /// Says that the card works on the memory behind an address, so that it must not be taken away. The card pins
    /// a command's address when its doorbell rings and unpins it before it posts the completion.
    public func pin(_ address: BusAddress) {
        if let window = window(of: address) {
            pins[window].wrappingAdd(Self.pinIncrement + 1, ordering: .acquiringAndReleasing)
        }
    }

    /// Ends what one `pin` began.
    public func unpin(_ address: BusAddress) {
        if let window = window(of: address) { pins[window].wrappingSubtract(1, ordering: .releasing) }
    }

    /// Whether the card works on a window's memory.
    public func isPinned(window: Int) -> Bool {
        pins[window].load(ordering: .acquiring) & (Self.pinIncrement - 1) != 0
    }

    /// How often the window was pinned, in 16 bits: whether the card has seen a command for it since somebody looked.
    public func pinCount(window: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: pins[window].load(ordering: .acquiring) >> 16)
    }

    /// Above it the pins so far, below it the pins that are held.
    private static let pinIncrement: UInt32 = 1 << 16

    /// The window of a bus address, or nil when there is none.
    public func window(of address: BusAddress) -> Int? {
        let index = Int(truncatingIfNeeded: address >> Self.windowShift) - 1
        return index >= 0 && index < windowCount ? index : nil
    }

    /// The bus addresses that windows can have.
    public var addressRange: Range<BusAddress> {
        1 << Self.windowShift..<UInt64(windowCount + 1) << Self.windowShift
    }

    /// The memory behind a bus address range, or nil when the range is not mapped in full or the card would
    /// write to memory that it may only read: a DART fault.
    public func translate(
        _ address: BusAddress, byteCount: Int, deviceWrites: Bool
    ) -> UnsafeMutableRawPointer? {
        guard byteCount >= 0, let index = window(of: address) else { return nil }
        let window = windows[index]
        let offset = address & (1 << Self.windowShift - 1)
        guard offset <= window.byteCount, UInt64(byteCount) <= window.byteCount - offset,
            window.isWritableByDevice || !deviceWrites
        else { return nil }
        return UnsafeMutableRawPointer(bitPattern: window.base + UInt(offset))
    }
}

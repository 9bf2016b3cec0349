import ArrayEngine
import ArrayStore
import HardwareBus
import RAIDController

extension RAIDController {
    /// A card over one array, without a machine around it.
    static func simulated(over array: OpenedArray, laneCount: Int, writeCacheByteCount: Int) -> RAIDController {
        do {
            let engine = try ArrayEngine(
                arrays: [array], memberEngine: .threads, laneCount: laneCount,
                requestCapacity: RAIDController.requestCapacity)
            return RAIDController(
                engine: engine, dart: DART(windowCount: 8, reservedCount: 1),
                writeCacheByteCount: writeCacheByteCount)
        } catch { preconditionFailure("no memory: \(error)") }
    }
}

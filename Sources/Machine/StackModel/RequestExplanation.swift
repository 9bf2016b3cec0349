import HBAProfiles
import ParallelInterface

/// What each layer of the storage stack does with one request on the raw device, from the arithmetic of the layers
/// alone: nothing is read or written.
///
/// The request's memory is one range, aligned to a page, above 4 GiB; without a mapper no two of its pages are
/// neighbours. The medium is large enough.
package struct RequestExplanation: Codable, Equatable, Sendable {
    /// The largest request that is explained, bytes.
    package static let byteCountMax: UInt64 = 4 << 30

    /// The profile that the stack was built from.
    package struct Profile: Codable, Equatable, Sendable {
        package var name: String
        package var description: String
        /// "dext" or "kext".
        package var driver: String
        package var hasMapper: Bool
        /// Bytes of a page of the machine.
        package var pageByteCount: UInt64
    }

    /// The request, bytes.
    package struct Request: Codable, Equatable, Sendable {
        /// Whether it is a write; otherwise it is a read.
        package var isWrite: Bool
        /// Where it begins on the medium.
        package var byteOffset: UInt64
        package var byteCount: UInt64

        /// Whether it begins and ends at block boundaries.
        package var isAligned: Bool
    }

    /// A fault of the profile, whatever the request.
    package struct Finding: Codable, Equatable, Sendable {
        /// The fault's name in the catalogue: "B32".
        package var fault: String
        /// "error", "warning" or "note".
        package var severity: String
        /// What is wrong, with the values.
        package var detail: String
        /// How to mend it, from the catalogue.
        package var fix: String
    }

    /// The profile.
    package var profile: Profile
    /// The request.
    package var request: Request
    /// The profile's faults.
    package var findings: [Finding]
    /// The layers from the top down.
    package var layers: [Layer]
    /// The request's stages.
    package var stages: StageList
    /// How it ends on the emulated stack; for a request of whole blocks also on macOS.
    package var outcome: Outcome
    /// How it ends at a raw node of macOS, where that differs.
    package var rawNodeOutcome: Outcome?

    /// Explains a request.
    /// - Parameters:
    ///   - byteOffset: where the request begins on the medium.
    ///   - byteCount: 1 to 4 GiB.
    package init(profile: HBAProfile, byteOffset: UInt64, byteCount: UInt64, isWrite: Bool) throws {
        guard byteCount > 0 else {
            throw ExplanationError(
                description: "a request of 0 bytes ends with EINVAL before any layer; give a size from 1 byte to 4G")
        }
        guard byteCount <= Self.byteCountMax else {
            throw ExplanationError(
                description: "a request of \(byteCount) bytes is above 4 GiB; give a size up to 4G")
        }
        guard byteOffset <= UInt64(Int64.max) - byteCount else {
            throw ExplanationError(description: "the request ends above 2^63; give an offset below 8388607T")
        }
        self.profile = Profile(
            name: profile.name, description: profile.description, driver: profile.driver.rawValue,
            hasMapper: profile.mapper, pageByteCount: profile.pageSize)
        request = Request(
            isWrite: isWrite, byteOffset: byteOffset, byteCount: byteCount,
            isAligned: StagePlan.isAligned(byteOffset, byteCount))
        let check = ConfigurationCheck(
            reported: profile.reportedConstraints, dma: profile.dmaSpecification, isKext: profile.driver == .kext,
            options: profile.kernelOptions(policy: .macos))
        findings = check.diagnoses().map {
            Finding(
                fault: $0.fault.rawValue, severity: "\($0.fault.severity)", detail: $0.detail, fix: $0.fault.entry.fix)
        }
        let plan = StagePlan(profile: profile, byteOffset: byteOffset, byteCount: byteCount, isWrite: isWrite)
        stages = plan.stages
        outcome = OutcomeBuilder(profile: profile, plan: plan, request: request).outcome
        layers =
            LayerBuilder(
                profile: profile, plan: plan, request: request, hasDisk: outcome.kind != .noDisk
            ).layers
        if !request.isAligned { rawNodeOutcome = Outcome.rawNodeRefusal }
    }
}

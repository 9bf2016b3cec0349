extension RequestExplanation {
    /// The explanation for people, in 100 columns.
    package var text: String {
        var page = TextPage()
        let name = request.isWrite ? "WRITE" : "READ"
        page.add(line: "\(name) of \(byteText(request.byteCount)) at byte \(request.byteOffset) of the raw device")
        page.add(
            "profile \(profile.name) (\(profile.driver))\(profile.description.isEmpty ? "" : ": ")\(profile.description)",
            indent: 0)
        addFindings(to: &page)
        for (index, layer) in layers.enumerated() {
            page.add(heading: "\(index + 1)  \(layer.object): \(layer.role)")
            for statement in layer.statements { page.add(statement, indent: 2) }
            if !layer.limits.isEmpty { addLimits(layer.limits, to: &page) }
            for gate in layer.gates {
                page.add(
                    gate.detail, label: gate.name.padded(to: 17) + gate.verdict.rawValue, indent: 2, labelWidth: 30)
            }
            if layer.object == LayerBuilder.breakUpObject { addStages(to: &page) }
            if layer.object == LayerBuilder.commandObject { addCommands(to: &page) }
        }
        addOutcome(to: &page)
        return page.text
    }

    private func addFindings(to page: inout TextPage) {
        guard !findings.isEmpty else { return }
        page.add(heading: "What is wrong with the profile, whatever the request")
        for finding in findings {
            page.add("\(finding.severity): \(finding.detail)", label: finding.fault, indent: 2, labelWidth: 5)
            page.add(finding.fix, label: "fix:", indent: 7, labelWidth: 5)
        }
        if outcome.kind != .noDisk, findings.contains(where: { $0.severity == "error" }) {
            page.add("nbdext serve starts with this profile only if --constraints macos is given.", indent: 2)
        }
    }

    private func addLimits(_ limits: [Layer.Limit], to page: inout TextPage) {
        page.add(line: "  Limits of a \(request.isWrite ? "write" : "read"):")
        for limit in limits {
            let value = limit.value.map(String.init) ?? "no limit"
            page.add(limit.note, label: limit.key.padded(to: 37) + value, indent: 4, labelWidth: 48)
        }
    }

    private func addStages(to page: inout TextPage) {
        guard !stages.runs.isEmpty else { return }
        page.add(line: "  \(request.isAligned ? "Stages" : "Steps"), strictly one after another:")
        for (index, run) in stages.runs.enumerated() {
            addUnlisted(before: index, to: &page)
            let offset = run.byteOffset
            let places = list(run.count, from: offset, step: run.byteCount)
            let purpose = run.purpose == .data ? "" : "\(run.purpose.rawValue): "
            page.add(line: "    \(purpose)\(run.count) x \(byteText(run.byteCount)) at byte \(places)")
            for (number, limit) in run.limits.enumerated() {
                page.add(limit.text, label: number == 0 ? "cut by" : "and by", indent: 6, labelWidth: 7)
            }
            if run.limits.isEmpty && run.purpose == .data {
                page.add(line: "      \(index == 0 && run.count == 1 ? "nothing to cut" : "the rest")")
            }
        }
    }

    private func addCommands(to page: inout TextPage) {
        if stages.runs.isEmpty { page.add(line: "  No stage, no command.") }
        for (index, run) in stages.runs.enumerated() {
            addUnlisted(before: index, to: &page)
            let places = list(run.count, from: run.lba, step: run.blockCount)
            page.add(
                line:
                    "    \(run.count) x \(run.command) of \(run.byteCount) bytes, \(run.blockCount) \(run.blockCount == 1 ? "block" : "blocks"), "
                    + "LBA \(places)")
            page.add(line: "      \(run.count > 1 ? "first " : "")CDB \(run.firstCDB)")
            if run.count > 1 { page.add(line: "      last  CDB \(run.lastCDB)") }
        }
    }

    private func addUnlisted(before index: Int, to page: inout TextPage) {
        guard stages.unlistedStageCount > 0, index == stages.runs.count - 1 else { return }
        page.add(line: "    ... \(stages.unlistedStageCount) more of changing sizes")
    }

    /// The first places of equal stages: "0, 1024, 2048 ...".
    private func list(_ count: UInt64, from first: UInt64, step: UInt64) -> String {
        let places = (0..<min(count, 3)).map { String(first + $0 * step) }.joined(separator: ", ")
        return count > 3 ? places + " ..." : places
    }

    private func addOutcome(to page: inout TextPage) {
        page.add(heading: "Outcome")
        if let rawNodeOutcome {
            page.add("At a raw node of macOS: \(line(of: rawNodeOutcome))", indent: 2)
            page.add("At nbdext's NBD export: \(line(of: outcome))", indent: 2)
        } else {
            page.add(line(of: outcome), indent: 2)
        }
        if outcome.kind == .success, findings.contains(where: { $0.severity == "error" }) {
            page.add("Other requests may fail: see above what is wrong with the profile.", indent: 2)
        }
        for (index, fix) in outcome.fixes.enumerated() {
            page.add(fix.reason, label: index == 0 ? "fix:" : "or:", indent: 2, labelWidth: 5)
            for change in fix.changes {
                let old = change.old.map(String.init) ?? "missing"
                page.add(line: "         \(change.call): \(change.key) \(old) -> \(change.new)")
            }
        }
    }

    private func line(of outcome: Outcome) -> String {
        let fault = outcome.fault.map { ", fault \($0)" } ?? ""
        let error = outcome.errno.map { "\($0) (\(outcome.ioReturn ?? "")) at \(outcome.place)\(fault)" }
        let reason = "\(outcome.reason)\(outcome.reason.hasSuffix(".") ? "" : ".")"
        return switch outcome.kind {
        case .success: "success, \(byteText(outcome.byteCount)): \(reason)"
        case .failure: "\(error ?? ""), after \(byteText(outcome.byteCount)): \(reason)"
        case .noDisk: "no disk\(fault): \(reason)"
        }
    }
}

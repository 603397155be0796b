"""A classifier's record as a table for people."""

from stylegan_eval.classifiers.classifier import ClassifierRecord


def table(record: ClassifierRecord) -> str:
    """Where the classifier comes from; a line per attribute; the means."""
    attributes = record.attributes
    if record.images == 0:  # of others, who do not say
        size = f"{record.resolution}x{record.resolution}"
        return "\n".join([f"{record.architecture}, {size}, accuracies unknown", *record.names])
    width = max(len(name) for name in (*record.names, "attribute"))
    size = f"{record.resolution}x{record.resolution}"
    trained = f"{record.epochs} epochs of {record.images - record.held_out} images"
    lines = [
        f"{record.architecture}, {size}, {trained}, seed {record.seed}",
        f"tested on {record.held_out} other images",
        f"{'attribute':{width}}  share  accuracy  balanced",
    ]
    lines += [
        f"{a.name:{width}}  {a.share:5.3f}  {a.accuracy:8.3f}  {a.balanced_accuracy:8.3f}"
        for a in attributes
    ]
    accuracy = sum(a.accuracy for a in attributes) / len(attributes)
    balanced = sum(a.balanced_accuracy for a in attributes) / len(attributes)
    lines.append(f"{'mean':{width}}  {'':5}  {accuracy:8.3f}  {balanced:8.3f}")
    return "\n".join(lines)

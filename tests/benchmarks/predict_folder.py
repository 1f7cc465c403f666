"""A folder through this package, timed from the first film to the last. ``predict_folder.py MODEL FOLDER``."""

import json
import sys
import time

from pneumocli import predict

if __name__ == "__main__":
    predictions = predict(sys.argv[2], model=sys.argv[1])
    began = time.perf_counter()
    count = sum(1 for _ in predictions)
    print(json.dumps({"films": count, "seconds": time.perf_counter() - began}))
